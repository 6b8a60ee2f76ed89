//! What the client offers and agrees on in a TLS handshake, and the file with its secrets.

mod util;

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use rustix::fs::Mode;
use serde_json::{Value, json};
use util::client::{client, end, run, server};
use util::{Daemon, TLS, TlsClient, established, folder_with_certificates, tool};

/// A cipher suite that no processor prefers.
const SUITE: &str = "TLS_AES_256_GCM_SHA384";

/// Runs the client with these arguments, which begin with the command.
fn asking(daemon: &Daemon, arguments: &[&str]) -> Output {
    let port = daemon.address("tls").port().to_string();
    let mut command = client();
    command.env_remove("SSLKEYLOGFILE").current_dir(daemon.folder.path()).args(arguments);
    command.args(["--tls", "--ca", "signing.pem", "localhost", &port]);
    command.stdin(Stdio::null()).output().unwrap()
}

/// Asks for one echo with these options, and returns the exit code and what is printed about TLS.
fn echo(daemon: &Daemon, arguments: &[&str]) -> (i32, String) {
    end(&asking(daemon, arguments))
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
fn json_has_what_was_agreed() {
    let settings = format!("{TLS}groups = [\"secp384r1\"]\ncipher-suites = [\"{SUITE}\"]\n");
    let daemon = Daemon::start_in(folder_with_certificates(), &settings, |_| {});
    let report = |command: &[&str]| -> Value {
        let output = asking(&daemon, &[&[command[0], "--json"], &command[1..]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    };
    let full = json!({
        "version": "1.3",
        "cipher_suite": "AES_256_GCM_SHA384",
        "group": "secp384r1",
        "signature": "ECDSA_NISTP256_SHA256",
        "alpn": null,
        "sni": "localhost",
        "resumed": false,
        "hello_retry_request": true,
    });
    assert_eq!(report(&["ping", "-q", "-c1"])["facts"], full);
    // On a busy machine, a short time is over before a session was resumed.
    let mut reports = ["--duration=0.4", "--duration=4", "--duration=40"]
        .into_iter()
        .map(|duration| report(&["handshakes", "-q", duration, "--no-sni"]));
    let handshakes = reports.find(|report| !report["resumed"]["facts"].is_null()).unwrap();
    let mut expected = full;
    expected["sni"] = Value::Null;
    assert_eq!(handshakes["full"]["facts"], expected);
    let resumed = &handshakes["resumed"]["facts"];
    assert_eq!((&resumed["resumed"], &resumed["signature"]), (&json!(true), &Value::Null));
    assert_eq!((&resumed["version"], &resumed["group"]), (&json!("1.3"), &json!("secp384r1")));
}

/// The client exits with 1 and one line, which has these words.
fn is_explained((code, said): (i32, String), words: &[&str]) {
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    for words in words {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
}

#[test]
fn a_daemon_that_does_not_accept_what_is_allowed_is_explained() {
    let refused = "the alert handshake_failure does not say what the server offers): you allow ";
    let version = "no version in common (the alert protocol_version does not say what";
    for (setting, options, words) in [
        (
            "min-version = \"1.3\"",
            &["--tls-version=1.2"][..],
            &[version, "you allow TLS 1.2; --tls-version would allow more"][..],
        ),
        (
            "min-version = \"1.3\"",
            &["--cipher-suite=ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"],
            &[version, "you allow TLS 1.2; --tls-version or --cipher-suite would allow more"],
        ),
        (
            "cipher-suites = [\"TLS_AES_256_GCM_SHA384\"]",
            &["--tls-version=1.3", "--cipher-suite=AES_128_GCM_SHA256"],
            &[refused, "you allow TLS 1.3, cipher suites AES_128_GCM_SHA256, groups X25519, "],
        ),
        (
            "groups = [\"secp384r1\"]",
            &["--group=X25519", "--group=P-256"],
            &[refused, " groups X25519, secp256r1, signatures ", "; --group would allow more"],
        ),
    ] {
        let settings = format!("{TLS}{setting}\n");
        let daemon = Daemon::start_in(folder_with_certificates(), &settings, |_| {});
        is_explained(end(&asking(&daemon, &[&["-q"], options].concat())), words);
    }
}

#[test]
fn a_server_of_openssl_that_does_not_accept_what_is_allowed_is_explained() {
    let refused = "the alert handshake_failure does not say what the server offers): you allow ";
    for (settings, options, words) in [
        (
            &["-tls1_2"][..],
            &["--tls-version=1.3"][..],
            &["alert protocol_version", "you allow TLS 1.3; --tls-version would allow more"][..],
        ),
        (
            &["-ciphersuites", "TLS_AES_256_GCM_SHA384"],
            &["--tls-version=1.3", "--cipher-suite=AES_128_GCM_SHA256"],
            &[refused, "cipher suites AES_128_GCM_SHA256, ", "--cipher-suite would allow more"],
        ),
        (
            &["-groups", "P-384"],
            &["--tls-version=1.3", "--group=X25519"],
            &[refused, "groups X25519, ", "; --tls-version or --group would allow more"],
        ),
        (
            &["-alpn", "echo"],
            &["--alpn=h2", "--alpn=http/1.1"],
            &["alert no_application_protocol", "you allow h2, http/1.1 with --alpn"],
        ),
    ] {
        let Some(mut openssl) = tool("openssl") else { return };
        let folder = folder_with_certificates();
        let port = util::ReservedPort::new();
        openssl.current_dir(folder.path()).args(["s_server", "-quiet", "-rev"]);
        openssl.args(["-cert", "alex.crt", "-key", "alex.key"]).args(settings);
        openssl.args(["-accept", &format!("127.0.0.1:{}", port.number)]);
        let _server = util::Running::start_server(openssl, &port);
        let number = port.number.to_string();
        let arguments = ["-q", "--tls", "--insecure", "127.0.0.1", &number];
        is_explained(end(&run(&[&arguments[..], options].concat(), b"")), words);
    }
}

#[test]
fn a_choice_of_the_server_that_is_not_allowed_is_named() {
    // ServerHello, with a random of 32 times "A", and its extensions.
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    let hello = |suite: &[u8], extensions: &[u8]| {
        let body = [&[3, 3][..], &[b'A'; 32], &[0], suite, &[0, 0], &[length(extensions)]];
        let body = [&body.concat()[..], extensions].concat();
        let message = [&[2, 0, 0, length(&body)][..], &body].concat();
        [&[22, 3, 3, 0, length(&message)][..], &message].concat()
    };
    for (answer, options, words) in [
        (
            hello(&[0xC0, 0x2B], &[]),
            &["--tls-version=1.3"][..],
            "the server offers TLS 1.2, you allow TLS 1.3; --tls-version would allow more",
        ),
        (
            hello(&[0x13, 0x02], &[0, 43, 0, 2, 3, 4]),
            &["--cipher-suite=AES_128_GCM_SHA256"],
            "the server offers the cipher suite AES_256_GCM_SHA384, you allow AES_128_GCM_SHA256; ",
        ),
    ] {
        let port = server(move |mut stream: TcpStream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&answer);
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let arguments = ["-q", "--tls", "--insecure", "127.0.0.1", &port];
        is_explained(end(&run(&[&arguments[..], options].concat(), b"")), &[words]);
    }
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
