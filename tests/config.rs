//! Errors in a command line, a configuration file, an address, a certificate or a key are printed in one line
//! with place, cause and cure, and have their exit code.

mod util;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use echo_alex::testing::Config;
use rcgen::{CustomExtension, ExtendedKeyUsagePurpose};
use util::{
    Authority, Daemon, PATIENCE, PLAIN, TLS, TlsClient, assert_echo, connect, field,
    folder_with_certificates, outcome, program, run, tool, write_identity,
};

/// The numbers of files, so that a missing file fails the test.
const VALID: usize = 20;
const INVALID: usize = 99;

const USAGE: i32 = 64;
const NO_INPUT: i32 = 66;
const UNAVAILABLE: i32 = 69;
const NO_PERMISSION: i32 = 77;
const CONFIG: i32 = 78;

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(folder);
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The only line on standard error, without the name of the program.
fn one_line(stderr: &str) -> &str {
    let line =
        stderr.strip_suffix('\n').unwrap_or_else(|| panic!("an incomplete line: {stderr:?}"));
    assert!(!line.contains('\n'), "more than one line: {stderr}");
    // Signs of the standard library's Debug output.
    for debug in ["Err(", "Some(", "Error {", "kind:", "os error", "panicked"] {
        assert!(!line.contains(debug), "{line}");
    }
    line.strip_prefix("echo-alex: ").unwrap_or_else(|| panic!("not our line: {line}"))
}

/// Runs the daemon, which must fail with `code`: the line with the error.
fn fails(code: i32, arguments: &[&str]) -> String {
    let (exit, stdout, stderr) = run(arguments);
    let line = one_line(&stderr).to_owned();
    assert_eq!((exit, stdout.as_str()), (code, ""), "{line}");
    line
}

/// The same for a check and for a start with `config` in `folder`: both must print the same error.
fn both_fail(code: i32, folder: &Path, config: &str) -> String {
    let file = folder.join("echo-alex.toml");
    fs::write(&file, config).unwrap();
    let file = file.to_str().unwrap();
    let checked = fails(code, &["--check", "-c", file]);
    let (exit, stdout, stderr) = run(&["-c", file]);
    // A start also logs to standard error.
    let last = stderr.lines().last().unwrap_or_default();
    assert_eq!((exit, stdout.as_str()), (code, ""), "{stderr}");
    assert_eq!(one_line(&format!("{last}\n")), checked);
    assert_eq!(stderr.lines().filter(|line| line.starts_with("echo-alex: ")).count(), 1);
    checked
}

fn contains_all(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "no {part:?} in {line:?}");
    }
}

#[test]
fn a_check_does_not_mention_a_temporary_identity() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("echo-alex.toml");
    fs::write(&file, "[[listener]]\nname = \"tls\"\nlisten = 0\n[listener.tls]\n").unwrap();
    let (code, stdout, stderr) = util::run(&["--check", "-c", file.to_str().unwrap()]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.ends_with(": good, 1 listener (1 TLS)\n"), "{stdout}");
}

#[test]
fn valid_files_pass_with_one_line_of_output() {
    let files = files("valid");
    assert_eq!(files.len(), VALID);
    for file in files {
        let (code, stdout, stderr) = run(&["--check", "-c", file.to_str().unwrap()]);
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.starts_with(&format!("{}: good, ", file.display())), "{stdout}");
        assert_eq!(stdout.lines().count(), 1, "{stdout}");
    }
}

#[test]
fn errors_in_files_have_line_column_message_and_text() {
    let files = files("invalid");
    assert_eq!(files.len(), INVALID);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let expected = text.lines().next().unwrap().strip_prefix("# expect: ").unwrap();
        let line = fails(CONFIG, &["--check", "-c", file.to_str().unwrap()]);
        let whole = format!("{}{expected}", file.display());
        assert!(line.starts_with(&whole), "\n     got {line}\nexpected {whole}");
    }
}

#[test]
fn the_example_file_equals_the_built_in_configuration() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/echo-alex.toml");
    let example = Config::load(&file).unwrap();
    let built_in = Config::built_in().unwrap();
    assert_eq!(Config { source: built_in.source.clone(), ..example }, built_in);
}

#[test]
fn the_documents_show_a_mistake_in_the_example_file_as_it_is_reported() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/operation.md")).unwrap();
    let shown = document.lines().find(|line| line.contains("`levle`")).unwrap();
    let example = fs::read_to_string(root.join("config/echo-alex.toml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("echo-alex.toml");
    fs::write(&file, example.replace("#level", "levle")).unwrap();
    let line = fails(CONFIG, &["--check", "-c", file.to_str().unwrap()]);
    let printed = line.strip_prefix(&format!("{}/", folder.path().display())).unwrap();
    assert_eq!(format!("echo-alex: {printed}"), shown);
}

#[test]
fn an_empty_file_and_a_binary_file_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let line = both_fail(CONFIG, folder.path(), "");
    assert!(line.ends_with("echo-alex.toml:1:1: there is no listener: add a [[listener]]"));

    let file = folder.path().join("binary.toml");
    fs::write(&file, b"\xff\xfe").unwrap();
    let line = fails(CONFIG, &["-c", file.to_str().unwrap()]);
    assert_eq!(line, format!("{}: the file is not UTF-8 text", file.display()));
}

#[test]
fn a_missing_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("no-such.toml");
    let file = file.to_str().unwrap();
    for arguments in [&["-c", file][..], &["--config", file, "--check"]] {
        let line = fails(NO_INPUT, arguments);
        assert_eq!(line, format!("cannot read {file}: no such file or directory"));
    }
}

/// Runs as a user without special permissions; `None` if that is not possible.
fn run_as_nobody(arguments: &[&str]) -> Option<(i32, String)> {
    let mut command = if rustix::process::geteuid().is_root() {
        let mut setpriv = tool("setpriv")?;
        setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        setpriv
    } else {
        Command::new("env")
    };
    // A copy that every user can execute, whatever the folders above the real program.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("echo-alex");
    util::copy_program(program(), &copy);
    let output = command.arg(copy).args(arguments).output().unwrap();
    Some((output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap()))
}

#[test]
fn an_unreadable_file_is_a_permission_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = folder.path().join("echo-alex.toml");
    fs::write(&file, PLAIN).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let file = file.to_str().unwrap();
    let Some((code, stderr)) = run_as_nobody(&["-c", file]) else { return };
    assert_eq!(one_line(&stderr), format!("cannot read {file}: permission denied"));
    assert_eq!(code, NO_PERMISSION);
}

#[test]
fn an_unreadable_key_is_named_with_the_user_and_the_cure() {
    let folder = folder_with_certificates();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (file, key) = (folder.path().join("echo-alex.toml"), folder.path().join("alex.key"));
    fs::write(&file, TLS).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(folder.path().join("alex.crt"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o000)).unwrap();
    let file = file.to_str().unwrap();
    for arguments in [&["--check", "-c", file][..], &["-c", file]] {
        let Some((code, stderr)) = run_as_nobody(arguments) else { return };
        let line = stderr.lines().last().unwrap();
        let cause = format!("cannot read the key {}: permission denied for user ", key.display());
        contains_all(line, &["listener \"tls\"", &cause, "chgrp ", "chmod 640"]);
        assert_eq!(code, NO_PERMISSION);
    }
}

#[test]
fn usage_errors_exit_with_64_and_point_to_the_help() {
    for arguments in
        [&["--loud"][..], &["-x"], &["--config"], &["-c"], &["extra"], &["--check=yes"]]
    {
        let line = fails(USAGE, arguments);
        assert!(line.ends_with("; see echo-alex --help"), "{line}");
    }
    contains_all(&fails(USAGE, &["--loud"]), &["--loud"]);
    contains_all(&fails(USAGE, &["-c"]), &["-c"]);
}

#[test]
fn the_help_fits_a_screen_and_names_every_option() {
    for option in ["-h", "--help"] {
        let (code, stdout, stderr) = run(&[option]);
        assert_eq!((code, stderr.as_str()), (0, ""));
        assert!(stdout.lines().count() <= 24, "{stdout}");
        assert!(stdout.lines().all(|line| line.chars().count() <= 80), "{stdout}");
        contains_all(&stdout, &["--config", "--check", "--probe", "--help", "--version"]);
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    for option in ["-V", "--version"] {
        let expected = format!("echo-alex {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(run(&[option]), (0, expected, String::new()));
    }
}

#[test]
fn an_address_in_use_exits_with_69_and_a_cure() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("echo-alex.toml");
    fs::write(
        &file,
        format!("[log]\nlevel = \"error\"\n[[listener]]\nname = \"a\"\nlisten = \"{address}\"\n"),
    )
    .unwrap();
    let line = fails(UNAVAILABLE, &["-c", file.to_str().unwrap()]);
    let cure = format!("ss -ltnp 'sport = :{}'", address.port());
    contains_all(
        &line,
        &["listener \"a\"", &format!("cannot listen on {address}: address already in use"), &cure],
    );
    // A check binds nothing.
    assert_eq!(run(&["--check", "-c", file.to_str().unwrap()]).0, 0);
}

#[test]
fn an_address_of_another_machine_exits_with_69_and_a_cure() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("echo-alex.toml");
    // TEST-NET-1 (RFC 5737) is assigned to no machine.
    let config =
        "[log]\nlevel = \"error\"\n[[listener]]\nname = \"a\"\nlisten = \"192.0.2.1:5000\"\n";
    fs::write(&file, config).unwrap();
    let line = fails(UNAVAILABLE, &["-c", file.to_str().unwrap()]);
    contains_all(&line, &["cannot listen on 192.0.2.1:5000", "not an address of this machine"]);
}

#[test]
fn a_missing_certificate_or_key_exits_with_66() {
    for (name, what) in [("alex.crt", "the certificate"), ("alex.key", "the key")] {
        let folder = folder_with_certificates();
        fs::remove_file(folder.path().join(name)).unwrap();
        let line = both_fail(NO_INPUT, folder.path(), TLS);
        let path = folder.path().join(name);
        contains_all(
            &line,
            &[&format!("cannot read {what} {}: no such file or directory", path.display())],
        );
    }
}

#[test]
fn a_key_of_another_certificate_is_named_with_a_command_that_compares_them() {
    let folder = folder_with_certificates();
    fs::copy(folder.path().join("laptop.key"), folder.path().join("alex.key")).unwrap();
    let line = both_fail(CONFIG, folder.path(), TLS);
    contains_all(
        &line,
        &["listener \"tls\"", "alex.key is not the key of ", "alex.crt", "openssl pkey"],
    );
}

#[test]
fn a_swapped_certificate_and_key_are_recognised() {
    let folder = folder_with_certificates();
    let listener = "[[listener]]\nname = \"tls\"\nlisten = 0\n[listener.tls]\n";
    let swapped = format!("{listener}certificate = \"alex.key\"\nkey = \"alex.crt\"\n");
    let line = both_fail(CONFIG, folder.path(), &swapped);
    contains_all(&line, &["alex.key: there is no certificate", "are the two swapped?"]);

    let certificate_twice = TLS.replace("alex.key", "alex.crt");
    let line = both_fail(CONFIG, folder.path(), &certificate_twice);
    contains_all(&line, &["alex.crt: there is no private key", "are the two swapped?"]);
}

#[test]
fn an_encrypted_key_is_named_with_the_command_that_decrypts_it() {
    for encrypt in [
        &["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", "alex.key", "-out", "locked.key"][..],
        &["ec", "-aes-256-cbc", "-in", "alex.key", "-out", "locked.key"],
    ] {
        let folder = folder_with_certificates();
        let Some(mut openssl) = tool("openssl") else { return };
        outcome(openssl.current_dir(folder.path()).args(encrypt).args(["-passout", "pass:secret"]));
        let line = both_fail(CONFIG, folder.path(), &TLS.replace("alex.key", "locked.key"));
        let locked = folder.path().join("locked.key");
        contains_all(
            &line,
            &[
                &format!("{}: the key is encrypted", locked.display()),
                &format!("openssl pkey -in {}", locked.display()),
            ],
        );
    }
}

#[test]
fn an_unusable_certificate_is_named_with_the_reason() {
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 1], vec![5, 0]);
    unknown.set_criticality(true);
    params.custom_extensions.push(unknown);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let folder = folder_with_certificates();
    write_identity(folder.path(), "strange", &certificate.pem(), &key.serialize_pem());
    let words = "not a usable certificate: it has a critical extension that is not known";
    let line = both_fail(CONFIG, folder.path(), &TLS.replace("alex.", "strange."));
    contains_all(&line, &["strange.crt: ", words]);
    assert!(!line.contains("Unsupported"), "{line}");
}

/// A certificate and key with these dates and for this usage, issued by a new CA.
fn identity(usage: ExtendedKeyUsagePurpose, from: i64, until: i64) -> (String, String) {
    Authority::new("the CA").sign_dated("alex", usage, from, until)
}

/// Checks, starts and reloads `config` in `folder`, which must succeed and warn the same each time: the
/// warnings.
fn warnings(folder: tempfile::TempDir, config: &str) -> Vec<String> {
    let file = folder.path().join("echo-alex.toml");
    fs::write(&file, config).unwrap();
    let (code, stdout, stderr) = run(&["--check", "-c", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.ends_with(": good, 1 listener (1 TLS)\n"), "{stdout}");
    let texts = |lines: &mut dyn Iterator<Item = &str>| -> Vec<String> {
        let texts = lines.filter_map(|line| line.split_once(" WARN  "));
        // The time differs between the runs.
        texts.map(|(_, text)| text.split("clock says").next().unwrap().to_owned()).collect()
    };
    let checked = texts(&mut stderr.lines());
    assert_eq!(checked.len(), stderr.lines().count(), "there is other output: {stderr}");

    let daemon = Daemon::start_in(folder, config, |_| {});
    let line = daemon.reload();
    assert!(line.ends_with(" reloaded"), "{line}");
    let log = daemon.seen();
    let logged = texts(&mut log.iter().map(String::as_str));
    assert_eq!(logged, [checked.clone(), checked].concat(), "at the start, and at the reload");
    let warnings = stderr.lines().map(|line| line.split_once(" WARN  ").unwrap().1.to_owned());
    warnings.collect()
}

#[test]
fn a_server_certificate_that_clients_refuse_causes_a_warning_with_a_cure() {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};

    let ca = Authority::new("the CA");
    let between = ca.intermediate_dated("in between", -9, -2);
    let (leaf, leaf_key) = between.sign("alex", ServerAuth);
    let cases: [((String, String), &[&str]); 5] = [
        (
            identity(ServerAuth, -9, -2),
            &["CN=alex expired on ", "this machine's clock says ", "clock chip", "renew it"],
        ),
        (
            identity(ServerAuth, 2, 9),
            &["CN=alex is not valid before ", "this machine's clock says ", "clock chip", "wait"],
        ),
        (identity(ClientAuth, -9, 9), &["CN=alex is for clients, not servers", "use one for "]),
        (
            (ca.pem(), ca.key_pem()),
            &["CN=the CA is a CA's certificate", "use one that it has signed"],
        ),
        ((leaf + &between.pem(), leaf_key), &["CN=in between expired on ", "clock says "]),
    ];
    for ((certificate, key), parts) in cases {
        let folder = tempfile::tempdir().unwrap();
        write_identity(folder.path(), "alex", &certificate, &key);
        let file = folder.path().join("alex.crt").display().to_string();
        let warned = warnings(folder, TLS);
        assert_eq!(warned.len(), 1, "{warned:?}");
        contains_all(&warned[0], parts);
        assert!(warned[0].starts_with(&format!("{file}: ")), "{}", warned[0]);
    }
}

#[test]
fn an_unusable_client_ca_causes_a_warning_with_a_cure() {
    let leaf = identity(ExtendedKeyUsagePurpose::ClientAuth, -9, 9).0;
    let old = Authority::dated("the CA", -9, -2);
    let early = Authority::dated("the CA", 2, 9);
    let replaced = Authority::dated("the CA", -2, 9);
    let cases: [(String, &[&str]); 4] = [
        (leaf, &["CN=alex is not a CA's certificate", "the file of the CA that signed"]),
        (old.pem(), &["the CA CN=the CA in ", " expired on ", "clock chip", "are refused"]),
        (early.pem(), &["the CA CN=the CA in ", " is not valid before ", "clock chip", "wait"]),
        (old.pem() + &replaced.pem(), &["the CA CN=the CA in ", " expired on "]),
    ];
    for (pem, parts) in cases {
        let folder = folder_with_certificates();
        fs::write(folder.path().join("clients.pem"), pem).unwrap();
        let warned = warnings(folder, &format!("{TLS}client-ca = \"clients.pem\"\n"));
        assert_eq!(warned.len(), 1, "{warned:?}");
        contains_all(&warned[0], parts);
        assert!(warned[0].contains("clients.pem"), "{}", warned[0]);
    }
}

#[test]
fn valid_certificates_cause_no_warning() {
    let old = Authority::dated("the CA", -9, -2);
    let renewed = old.renewed("the CA", -2, 9);
    let folder = folder_with_certificates();
    // The renewed CA has the same key, so it verifies what the old one issued.
    fs::write(folder.path().join("clients.pem"), old.pem() + &renewed.pem()).unwrap();
    let config = format!("{TLS}client-ca = \"clients.pem\"\n");
    assert_eq!(warnings(folder, &config), [""; 0]);

    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write_identity(folder.path(), "alex", &made.cert.pem(), &made.signing_key.serialize_pem());
    // A self-signed certificate, which clients trust by its fingerprint, and which is its own client CA.
    let config = format!("{TLS}client-ca = \"alex.crt\"\n");
    assert_eq!(warnings(folder, &config), [""; 0]);
}

#[test]
fn a_client_ca_must_hold_certificates() {
    let folder = folder_with_certificates();
    let mutual = format!("{TLS}client-ca = \"ca.pem\"\n");
    let ca = folder.path().join("ca.pem");
    let path = ca.display().to_string();

    contains_all(&both_fail(NO_INPUT, folder.path(), &mutual), &[&path]);
    fs::write(&ca, "nothing here\n").unwrap();
    let line = both_fail(CONFIG, folder.path(), &mutual);
    contains_all(&line, &[&format!("{path}: there is no certificate (-----BEGIN CERTIFICATE")]);
    fs::copy(folder.path().join("alex.key"), &ca).unwrap();
    let line = both_fail(CONFIG, folder.path(), &mutual);
    contains_all(&line, &[&path, "it holds a key"]);
}

#[test]
fn damaged_pem_files_are_named() {
    let authority = Authority::new("test CA");
    let (certificate, key) = authority.sign("alex", ExtendedKeyUsagePurpose::ServerAuth);
    let cut = |pem: &str| pem[..pem.len() / 2].to_owned();
    let no_base64 = |pem: &str| pem.replace("\nM", "\n*");
    let no_der = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    for (name, pem) in [
        ("alex.crt", cut(&certificate)),
        ("alex.crt", no_base64(&certificate)),
        ("alex.crt", no_der("CERTIFICATE")),
        ("alex.crt", String::new()),
        ("alex.crt", "x".repeat(2 << 20)),
        ("alex.key", cut(&key)),
        ("alex.key", no_base64(&key)),
        ("alex.key", no_der("PRIVATE KEY")),
        ("alex.key", String::new()),
    ] {
        let folder = folder_with_certificates();
        util::write_identity(folder.path(), "alex", &certificate, &key);
        let path = folder.path().join(name);
        fs::write(&path, pem).unwrap();
        let line = both_fail(CONFIG, folder.path(), TLS);
        contains_all(&line, &["listener \"tls\": ", &format!("{}: ", path.display())]);
    }
}

#[test]
fn relative_paths_start_at_the_folder_of_the_file() {
    let folder = folder_with_certificates();
    let elsewhere = tempfile::tempdir().unwrap();
    let here = elsewhere.path().to_owned();
    let daemon = Daemon::start_in(folder, TLS, |command| {
        command.current_dir(here);
    });
    assert_echo(&mut TlsClient::default().connect(&daemon), b"found");
}

#[test]
fn a_port_number_listens_on_every_address_of_both_families() {
    let daemon = Daemon::start("[[listener]]\nname = \"plain\"\nlisten = 0\n");
    let line = |ip: &str| {
        daemon.wait_for_line(|line| {
            line.contains(" listening listener=plain ") && line.contains(&format!("address={ip}:"))
        })
    };
    let port = |line: &str| field(line, "address").rsplit_once(':').unwrap().1.parse().unwrap();
    let v4: u16 = port(&line("0.0.0.0"));
    assert_echo(&mut connect(([127, 0, 0, 1], v4).into()), b"over IPv4");
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: this machine has no IPv6");
        return;
    }
    let v6: u16 = port(&line("[::]"));
    assert_eq!(v4, v6);
    let mut stream = TcpStream::connect(("::1", v6)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_echo(&mut stream, b"over IPv6");
    // Each family has its own socket, so an IPv4 peer is not logged as an IPv4-mapped address.
    let peer = stream.local_addr().unwrap();
    drop(stream);
    assert!(peer.is_ipv6());
    daemon.session_line(peer);
}
