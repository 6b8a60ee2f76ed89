//! What the client offers and agrees on in a TLS handshake, and the file with its secrets.

mod util;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use rustix::fs::Mode;
use util::client::{client, end};
use util::{Daemon, TLS, TlsClient, established, folder_with_certificates, tool};

/// Asks for one echo with these options, and returns the exit code and what is printed about TLS.
fn echo(daemon: &Daemon, arguments: &[&str]) -> (i32, String) {
    let port = daemon.address("tls").port().to_string();
    let mut command = client();
    command.env_remove("SSLKEYLOGFILE").current_dir(daemon.folder.path());
    command.args(["--tls", "--ca", "signing.pem", "localhost", &port]).args(arguments);
    end(&command.stdin(Stdio::null()).output().unwrap())
}

fn daemon() -> Daemon {
    Daemon::start_in(folder_with_certificates(), TLS, |_| {})
}

/// The line with the facts.
fn facts(daemon: &Daemon, arguments: &[&str]) -> String {
    let (code, said) = echo(daemon, arguments);
    assert_eq!(code, 0, "{said}");
    said.lines().find(|line| line.starts_with("TLS 1.")).expect(&said).to_owned()
}

#[test]
fn one_line_has_what_was_agreed() {
    let daemon = daemon();
    let line = facts(&daemon, &[]);
    assert!(line.starts_with("TLS 1.3, "), "{line}");
    assert!(line.contains(", X25519, signed with ECDSA_NISTP256_SHA256, no ALPN"), "{line}");
    assert!(line.ends_with(", SNI localhost, full handshake"), "{line}");
}

#[test]
fn version_suite_group_and_name_can_be_chosen() {
    let daemon = daemon();
    let line = facts(&daemon, &["--tls-version=1.2"]);
    assert!(line.starts_with("TLS 1.2, ECDHE_ECDSA_"), "{line}");
    let line = facts(&daemon, &["--cipher-suite", "tls_chacha20_poly1305_sha256"]);
    assert!(line.starts_with("TLS 1.3, CHACHA20_POLY1305_SHA256, "), "{line}");
    let line = facts(&daemon, &["--group", "P-384", "--no-sni"]);
    assert!(line.contains(", secp384r1, ") && line.contains(", no SNI, "), "{line}");
    // The certificate is still verified for localhost, which the other name is not.
    let line = facts(&daemon, &["--sni", "other.example"]);
    assert!(line.contains(", SNI other.example, "), "{line}");
}

#[test]
fn a_name_that_does_not_exist_is_a_usage_error_that_lists_the_names() {
    let daemon = daemon();
    for (option, value, listed) in [
        ("--cipher-suite", "RC4", "AES_128_GCM_SHA256"),
        ("--group", "X448", "X25519"),
        ("--tls-version", "1.1", "1.2 or 1.3"),
        ("--sni", "127.0.0.1", "an address is not sent"),
    ] {
        let (code, said) = echo(&daemon, &[option, value]);
        assert_eq!(code, 64, "{said}");
        assert!(said.contains(option) && said.contains(listed), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_server_that_cannot_do_what_is_chosen_is_explained() {
    let only_13 = format!("{TLS}min-version = \"1.3\"\n");
    let daemon = Daemon::start_in(folder_with_certificates(), &only_13, |_| {});
    let (code, said) = echo(&daemon, &["--tls-version", "1.2"]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("none of the versions that we offer") && said.contains("TLS 1.2"),
        "{said}"
    );
    let (code, said) = echo(&daemon, &["--cipher-suite", "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]);
    assert_eq!(code, 1, "{said}");
}

#[test]
fn an_application_protocol_is_agreed_if_the_server_has_it() {
    let daemon = daemon();
    // The daemon has none, and ignores the offer.
    assert!(facts(&daemon, &["--alpn", "echo"]).contains(", no ALPN, "));
    let Some(mut openssl) = tool("openssl") else { return };
    let port = util::ReservedPort::new();
    openssl.current_dir(daemon.folder.path());
    openssl.args(["s_server", "-quiet", "-rev", "-alpn", "echo", "-naccept", "1"]);
    openssl.args(["-cert", "alex.crt", "-key", "alex.key", "-groups", "P-384"]);
    openssl.args(["-accept", &format!("127.0.0.1:{}", port.number)]);
    let _server = util::Running::start_server(openssl, &port);
    let mut command = client();
    command.current_dir(daemon.folder.path()).stdin(Stdio::null());
    command.args(["--tls", "--ca", "signing.pem", "--name=localhost", "127.0.0.1"]);
    command.arg(port.number.to_string()).args(["--alpn=http/1.1", "--alpn=echo"]);
    let (_, said) = end(&command.output().unwrap());
    let line = said.lines().find(|line| line.starts_with("TLS 1.")).expect(&said);
    assert!(line.contains(", secp384r1, "), "{line}");
    assert!(line.contains(", ALPN echo, "), "{line}");
    assert!(line.ends_with(", full handshake after HelloRetryRequest"), "{line}");
}

#[test]
fn the_secrets_are_appended_to_a_file_that_only_its_owner_can_read() {
    let daemon = daemon();
    let folder = daemon.folder.path();
    let logged = |file: &str| {
        let port = daemon.address("tls").port().to_string();
        let mut command = client();
        command.env("SSLKEYLOGFILE", file).current_dir(folder).stdin(Stdio::null());
        command.args(["--tls", "--ca", "signing.pem", "localhost", &port]);
        end(&command.output().unwrap())
    };
    fs::write(folder.join("old"), "a line before\n").unwrap();
    assert_eq!(logged("old").0, 0);
    let text = fs::read_to_string(folder.join("old")).unwrap();
    assert!(text.starts_with("a line before\n"), "{text}");
    assert_eq!(logged("new").0, 0);
    let text = fs::read_to_string(folder.join("new")).unwrap();
    for label in ["CLIENT_HANDSHAKE_TRAFFIC_SECRET ", "SERVER_TRAFFIC_SECRET_0 "] {
        let line = text.lines().find(|line| line.starts_with(label)).expect(&text);
        // The random of the ClientHello, and a secret of SHA-256 or SHA-384.
        let words: Vec<usize> = line.split(' ').map(str::len).collect();
        assert!(words[1] == 64 && [64, 96].contains(&words[2]), "{line}");
    }
    let mode = fs::metadata(folder.join("new")).unwrap().permissions().mode();
    assert_eq!(Mode::from_raw_mode(mode), Mode::RUSR | Mode::WUSR);
    // What cannot be written is one line.
    fs::create_dir(folder.join("folder")).unwrap();
    fs::set_permissions(folder.join("folder"), Permissions::from_mode(0o700)).unwrap();
    for (file, words) in [
        ("none/file", "none/file: no such file"),
        ("folder", "is a directory"),
        ("/dev/full", "/dev/full: no space left"),
    ] {
        let (code, said) = logged(file);
        assert_ne!(code, 0, "{said}");
        let line = said.lines().last().unwrap();
        assert!(line.starts_with("echo-alex-client: SSLKEYLOGFILE: cannot write "), "{said}");
        assert!(line.contains(words), "{said}");
    }
    // An empty variable is none.
    assert_eq!(logged("").0, 0);
    // Another client of the daemon is not affected.
    established(&daemon, &TlsClient::default());
}
