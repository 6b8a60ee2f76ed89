//! The client verifies the server's certificate: each fault is a sentence with a cure, and the exit code
//! is 3.

mod util;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CidrSubnet, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints,
};
use util::{
    Authority, Daemon, ReservedPort, Running, TLS, field, folder_with_certificates, tool,
    write_identity,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn client(daemon: &Daemon, arguments: &[&str]) -> Output {
    let port = daemon.address("tls").port().to_string();
    Command::new(env!("CARGO_BIN_EXE_echo-alex-client"))
        .current_dir(daemon.folder.path())
        .arg("--tls")
        .args(arguments)
        .arg(port)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The CA of these tests.
fn ca() -> CertifiedIssuer<'static, KeyPair> {
    ca_with(&KeyPair::generate().unwrap(), |_| {})
}

/// The CA with this key, changed.
fn ca_with(
    key: &KeyPair,
    change: impl FnOnce(&mut CertificateParams),
) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "table CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    change(&mut params);
    CertifiedIssuer::self_signed(params, copy(key)).unwrap()
}

/// A change to a valid certificate.
type Change = fn(&mut CertificateParams);

fn copy(key: &KeyPair) -> KeyPair {
    KeyPair::from_pem(&key.serialize_pem()).unwrap()
}

/// It has expired.
fn expired(params: &mut CertificateParams) {
    params.not_before = (SystemTime::now() - 30 * DAY).into();
    params.not_after = (SystemTime::now() - 2 * DAY).into();
}

/// It is not yet valid.
fn early(params: &mut CertificateParams) {
    params.not_before = (SystemTime::now() + 2 * DAY).into();
    params.not_after = (SystemTime::now() + 30 * DAY).into();
}

/// A day in the notation of the messages.
fn day(time: SystemTime) -> String {
    humantime::format_rfc3339(time).to_string()[..10].to_string()
}

/// The parameters of a valid server certificate.
fn server(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + DAY).into();
    params
}

/// A daemon with this certificate; signing.pem is the CA.
fn daemon(ca: &CertifiedIssuer<'static, KeyPair>, params: &CertificateParams) -> Daemon {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, ca).unwrap().pem();
    daemon_with(ca, &certificate, &key.serialize_pem())
}

fn daemon_with(ca: &CertifiedIssuer<'static, KeyPair>, certificate: &str, key: &str) -> Daemon {
    let folder = tempfile::tempdir().unwrap();
    write_identity(folder.path(), "alex", certificate, key);
    std::fs::write(folder.path().join("signing.pem"), ca.pem()).unwrap();
    Authority::new("another CA").write(folder.path(), "another.pem");
    Daemon::start_in(folder, TLS, |_| {})
}

#[test]
fn each_fault_of_a_certificate_is_a_sentence_and_exit_code_3() {
    let ca = ca();
    let good = daemon(&ca, &server("good"));
    let changed = |change: fn(&mut CertificateParams)| {
        let mut params = server("faulty");
        change(&mut params);
        daemon(&ca, &params)
    };
    let (expired, early) = (changed(expired), changed(early));
    let for_clients = changed(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let self_signed = {
        let key = KeyPair::generate().unwrap();
        let certificate = server("selfish").self_signed(&key).unwrap().pem();
        daemon_with(&ca, &certificate, &key.serialize_pem())
    };
    let ca_as_server = daemon_with(&ca, &ca.pem(), &ca.key().serialize_pem());

    let right = ["-q", "--ca", "signing.pem", "localhost"];
    let wrong_print = format!("sha256:{}", "00".repeat(32));
    let cases: &[(&str, &Daemon, &[&str], &[&str])] = &[
        (
            "expired",
            &expired,
            &right,
            &["CN=faulty expired on ", "this machine's clock says", "clock chip"],
        ),
        ("not yet valid", &early, &right, &["CN=faulty is not valid before ", "clock says"]),
        (
            "wrong name",
            &good,
            &["-q", "--ca", "signing.pem", "--name", "alex.epp.com", "localhost"],
            &["CN=good is not for alex.epp.com, but for localhost, 127.0.0.1"],
        ),
        (
            "wrong address",
            &good,
            &["-q", "--ca", "signing.pem", "--name", "127.0.0.2", "localhost"],
            &["is not for 127.0.0.2, but for localhost, 127.0.0.1"],
        ),
        (
            "wrong CA",
            &good,
            &["-q", "--ca", "another.pem", "localhost"],
            &["CN=good is signed by CN=table CA, which is not in another.pem"],
        ),
        ("self-signed", &self_signed, &right, &["CN=selfish is signed by itself", "fingerprint"]),
        (
            "a CA as a server",
            &ca_as_server,
            &right,
            &["is a CA's certificate", "use one that it has signed"],
        ),
        ("for clients", &for_clients, &right, &["CN=faulty is for clients, not servers"]),
        (
            "another fingerprint",
            &good,
            &["-q", "--fingerprint", &wrong_print, "localhost"],
            &["shows another certificate", "ask the operator of the server"],
        ),
    ];
    for (case, daemon, arguments, words) in cases {
        let output = client(daemon, arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{case}: {said}");
        assert!(said.starts_with("echo-alex-client: "), "{case}: {said}");
        assert_eq!(said.lines().count(), 1, "{case}: {said}");
        for word in *words {
            assert!(said.contains(word), "{case}: no {word:?} in {said}");
        }
        assert!(output.stdout.is_empty());
    }
    // The certificate without a change is accepted.
    assert_eq!(client(&good, &right).status.code(), Some(0));
}

#[test]
fn a_certificate_of_an_expired_or_early_ca_is_refused_and_the_ca_is_named() {
    let (past, future) = (day(SystemTime::now() - 2 * DAY), day(SystemTime::now() + 2 * DAY));
    let cases: [(Change, String); 2] = [
        (expired, format!("the CA CN=table CA in signing.pem expired on {past}T")),
        (early, format!("the CA CN=table CA in signing.pem is not valid before {future}T")),
    ];
    for (change, words) in cases {
        let daemon = daemon(&ca_with(&KeyPair::generate().unwrap(), change), &server("leaf"));
        let refused = |arguments: &[&str], words: &str| {
            let output = client(&daemon, arguments);
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(3), "{said}");
            assert!(said.contains(words), "no {words:?} in {said}");
            assert!(said.contains("this machine's clock says"), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        };
        refused(&["-q", "--ca", "signing.pem", "localhost"], &words);
        refused(&["-q", "--ca", "another.pem", "--ca", "signing.pem", "localhost"], &words);
        // A fault of the chain is reported before a fault of the name.
        refused(&["-q", "--ca", "signing.pem", "--name", "alex", "localhost"], &words);
    }
}

#[test]
fn an_expired_certificate_is_named_before_its_expired_ca() {
    let key = KeyPair::generate().unwrap();
    let mut params = server("leaf");
    expired(&mut params);
    let by_itself = params.self_signed(&key).unwrap().pem();
    let ca = ca_with(&KeyPair::generate().unwrap(), expired);
    let by_ca = params.signed_by(&key, &ca).unwrap().pem();
    for (certificate, trusted) in [(&by_itself, "alex.crt"), (&by_ca, "signing.pem")] {
        let daemon = daemon_with(&ca, certificate, &key.serialize_pem());
        assert_refused(&daemon, &["--ca", trusted], &["the certificate of CN=leaf expired on "]);
    }
}

#[test]
fn an_expired_ca_of_the_system_is_not_trusted() {
    let key = KeyPair::generate().unwrap();
    for (change, code) in [((|_| {}) as Change, 0), (expired, 3)] {
        let daemon = daemon(&ca_with(&key, change), &server("leaf"));
        let output = Command::new(env!("CARGO_BIN_EXE_echo-alex-client"))
            .env("SSL_CERT_FILE", daemon.path("signing.pem"))
            .env_remove("SSL_CERT_DIR")
            .args(["-q", "--tls", "localhost", &daemon.address("tls").port().to_string()])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        if code != 0 {
            assert!(said.contains("the CA CN=table CA in the system's list of CAs"), "{said}");
        }
    }
}

#[test]
fn a_renewed_ca_is_trusted_beside_its_predecessor_for_what_each_signed() {
    let (key, other_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let old = ca_with(&key, expired);
    // A CA may be renewed with its key or with a new key, under the old name.
    let renewed = ca_with(&key, |_| {});
    let replaced = ca_with(&other_key, |_| {});
    let by_old_key = daemon(&renewed, &server("by the old key"));
    let by_new_key = daemon(&replaced, &server("by the new key"));
    let cases = [
        (&by_old_key, vec![&old], false),
        (&by_old_key, vec![&old, &renewed], true),
        (&by_old_key, vec![&renewed, &old], true),
        (&by_old_key, vec![&old, &replaced], false),
        (&by_old_key, vec![&replaced, &old], false),
        (&by_old_key, vec![&replaced, &old, &renewed], true),
        (&by_new_key, vec![&old, &replaced], true),
        (&by_new_key, vec![&replaced, &old], true),
    ];
    for (number, (daemon, authorities, good)) in cases.iter().enumerate() {
        let pem: String = authorities.iter().map(|ca| ca.pem()).collect();
        std::fs::write(daemon.path("signing.pem"), pem).unwrap();
        let output = client(daemon, &["-q", "--ca", "signing.pem", "localhost"]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(if *good { 0 } else { 3 }), "{number}: {said}");
        if !good {
            let words = "the CA CN=table CA in signing.pem expired on ";
            assert!(said.contains(words), "{number}: {said}");
        }
    }
}

#[test]
fn the_expired_certificate_of_a_chain_is_named() {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "in between");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    expired(&mut params);
    let (ca, key) = (ca(), KeyPair::generate().unwrap());
    let between = CertifiedIssuer::signed_by(params, key, &ca).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = server("leaf").signed_by(&key, &between).unwrap().pem();
    let daemon = daemon_with(&ca, &(leaf + &between.pem()), &key.serialize_pem());
    let output = client(&daemon, &["-q", "--ca", "signing.pem", "localhost"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("CN=in between expired on "), "{said}");
}

/// A daemon with this chain; the CAs are in signing.pem, and another CA is in another.pem.
fn daemon_with_chain(chain: &[&str], key: &str, authorities: &str) -> Daemon {
    let folder = tempfile::tempdir().unwrap();
    write_identity(folder.path(), "alex", &chain.concat(), key);
    std::fs::write(folder.path().join("signing.pem"), authorities).unwrap();
    Authority::new("another CA").write(folder.path(), "another.pem");
    Daemon::start_in(folder, TLS, |_| {})
}

/// Asserts that the client refuses the server's certificate with one line that has these words, and no
/// text of rustls or webpki.
fn assert_refused(daemon: &Daemon, arguments: &[&str], words: &[&str]) -> String {
    let output = client(daemon, &[&["-q"], arguments, &["localhost"]].concat());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    for debug in ["Other(", "Context", "Violation", "Used", "Unsupported", "UnknownIssuer"] {
        assert!(!said.contains(debug), "{said}");
    }
    said
}

#[test]
fn the_certificate_of_a_chain_whose_signature_fails_is_named_with_the_file_to_replace() {
    let root = Authority::new("the root");
    let between = root.intermediate("in between");
    let (leaf, key) = between.sign("leaf", ExtendedKeyUsagePurpose::ServerAuth);
    let other_root = Authority::new("the root");
    let other_between = other_root.intermediate("in between");

    // Another root of the same name.
    let chain = [leaf.as_str(), &between.pem()];
    let daemon = daemon_with_chain(&chain, &key, &other_root.pem());
    let words = [
        "CN=in between names CN=the root as its issuer",
        "the CA of that name in signing.pem has another key: replace signing.pem",
    ];
    let both = ["--ca", "another.pem", "--ca", "signing.pem"];
    for arguments in [&both[2..], &both] {
        assert_refused(&daemon, arguments, &words);
    }
    // No root of that name.
    let words = ["CN=in between is signed by CN=the root, which is not in another.pem"];
    assert_refused(&daemon, &["--ca", "another.pem"], &words);

    // The server sends its root as well.
    let chain = [leaf.as_str(), &between.pem(), &root.pem()];
    let daemon = daemon_with_chain(&chain, &key, &other_root.pem());
    let words = ["CN=in between names CN=the root as its issuer", "replace signing.pem"];
    assert_refused(&daemon, &both[2..], &words);

    // Another intermediate CA of the same name.
    let chain = [leaf.as_str(), &other_between.pem()];
    let daemon = daemon_with_chain(&chain, &key, &other_root.pem());
    let words = [
        "CN=leaf names CN=in between as its issuer",
        "the certificate of that name in its chain has another key",
    ];
    assert_refused(&daemon, &both[2..], &words);

    // The server does not send the intermediate CA.
    let daemon = daemon_with_chain(&[leaf.as_str()], &key, &root.pem());
    let words = [
        "CN=leaf is signed by CN=in between, which is not in signing.pem",
        "append its certificate",
    ];
    assert_refused(&daemon, &both[2..], &words);
}

#[test]
fn constraints_of_a_ca_are_explained() {
    let trust = ["--ca", "signing.pem"];
    let unknown = |params: &mut CertificateParams| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 1], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions.push(extension);
    };
    let root = Authority::new("the root");
    let chain_of = |change: &dyn Fn(&mut CertificateParams)| {
        let between = root.intermediate_changed("in between", change);
        let (leaf, key) = between.sign("leaf", ExtendedKeyUsagePurpose::ServerAuth);
        daemon_with_chain(&[&leaf, &between.pem()], &key, &root.pem())
    };
    let daemon = chain_of(&|params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![
                GeneralSubtree::DnsName("example.org".into()),
                GeneralSubtree::IpAddress(CidrSubnet::V4([10, 1, 0, 0], [255, 255, 0, 0])),
            ],
            excluded_subtrees: vec![GeneralSubtree::DnsName("secret.example.org".into())],
        });
    });
    let words = [
        "a name of CN=leaf (localhost, 127.0.0.1, ::1) is outside the limits (name constraints) of ",
        "CN=in between, which permits only example.org and names below it, 10.1.0.0/16, ",
        "and excludes secret.example.org and names below it; ",
    ];
    assert_refused(&daemon, &trust, &words);

    let daemon = chain_of(&unknown);
    let words = ["CN=leaf", "critical extension that is not known here"];
    assert_refused(&daemon, &trust, &words);

    let daemon = chain_of(&|params| params.is_ca = IsCa::ExplicitNoCa);
    let words = ["CN=in between is not a CA's certificate", "CN=leaf"];
    assert_refused(&daemon, &trust, &words);

    let first = root.intermediate("first");
    let second = first.intermediate("second");
    let (leaf, key) = second.sign("leaf", ExtendedKeyUsagePurpose::ServerAuth);
    let chain = [leaf.as_str(), &second.pem(), &first.pem()];
    let daemon = daemon_with_chain(&chain, &key, &root.pem());
    assert_refused(&daemon, &trust, &["more CAs below it than it allows"]);
}

#[test]
fn a_certificate_with_the_defaults_of_openssl_is_trusted_by_its_fingerprint() {
    let Some(mut openssl) = tool("openssl") else { return };
    let folder = tempfile::tempdir().unwrap();
    openssl.current_dir(folder.path()).args(["req", "-x509", "-newkey", "rsa:2048", "-nodes"]);
    openssl.args(["-subj", "/CN=alex", "-keyout", "alex.key", "-out", "alex.crt"]);
    util::outcome(&mut openssl);
    Authority::new("another CA").write(folder.path(), "another.pem");
    let daemon = Daemon::start_in(folder, TLS, |_| {});
    for arguments in [
        &["--ca", "alex.crt"][..],
        &["--ca", "alex.crt", "--name", "alex"],
        &["--ca", "another.pem"],
        &[],
    ] {
        let words = ["CN=alex is a CA's certificate", "echo-alex-certs"];
        let said = assert_refused(&daemon, arguments, &words);
        // The cure that it names works.
        let print = said.split("--fingerprint ").nth(1).unwrap();
        let print = print.split(|c: char| c.is_whitespace() || c == ')').next().unwrap();
        let output = client(&daemon, &["-q", "--fingerprint", print, "localhost"]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

#[test]
fn a_valid_certificate_is_printed_with_its_issuer_and_last_day() {
    let ca = ca();
    let daemon = daemon(&ca, &server("good"));
    let output = client(&daemon, &["--ca", "another.pem", "--ca", "signing.pem", "localhost"]);
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    let line = said.lines().find(|line| line.starts_with("certificate valid: ")).unwrap();
    assert!(line.contains("CN=good, signed by CN=table CA, until 20"), "{line}");
    assert!(said.lines().any(|line| line.starts_with("localhost is ")), "{said}");

    // Connected by its address and verified by its name, and the other way around.
    for (host, name) in [("127.0.0.1", "localhost"), ("localhost", "127.0.0.1")] {
        let output = client(&daemon, &["--ca", "signing.pem", "--name", name, host]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let output = client(&daemon, &["--ca", "signing.pem", "127.0.0.1"]);
    assert!(output.status.success(), "an IP address in the certificate: {}", stderr(&output));
}

#[test]
fn an_ipv6_address_is_matched_with_and_without_brackets() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: this machine has no IPv6");
        return;
    }
    let daemon =
        Daemon::start_in(folder_with_certificates(), &TLS.replace("127.0.0.1", "[::1]"), |_| {});
    for host in ["::1", "[::1]"] {
        let output = client(&daemon, &["-q", "--ca", "signing.pem", host]);
        assert!(output.status.success(), "{host}: {}", stderr(&output));
    }
    let output = client(&daemon, &["-q", "--ca", "signing.pem", "--name", "::2", "[::1]"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("is not for ::2, but for "), "{}", stderr(&output));
}

#[test]
fn the_chain_is_shown_with_control_characters_escaped() {
    let ca = ca();
    let daemon = daemon(&ca, &server("red \u{1b}[31m\u{202e}alert\u{7}"));
    let output = client(&daemon, &["--ca", "signing.pem", "--show-certificate", "localhost"]);
    let said = stderr(&output);
    for word in ["subject", "issuer", "serial", "names", "valid", "key", "SHA-256", "CN=table CA"] {
        assert!(said.contains(word), "no {word} in {said}");
    }
    assert!(said.contains("red ") && said.contains("alert"), "{said}");
    let raw = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    assert!(!said.chars().any(raw), "{said:?}");
}

#[test]
fn each_certificate_of_a_chain_is_shown() {
    let root = Authority::new("the root");
    let between = root.intermediate("in between");
    let (certificate, key) = between.sign("leaf", ExtendedKeyUsagePurpose::ServerAuth);
    let folder = tempfile::tempdir().unwrap();
    write_identity(folder.path(), "alex", &(certificate + &between.pem()), &key);
    root.write(folder.path(), "signing.pem");
    let daemon = Daemon::start_in(folder, TLS, |_| {});
    let output = client(&daemon, &["--ca", "signing.pem", "--show-certificate", "localhost"]);
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    let all = |key: &str| -> Vec<&str> {
        said.lines().filter_map(|line| line.strip_prefix(key)).map(str::trim).collect()
    };
    assert_eq!(all("issuer "), ["CN=in between", "CN=the root"], "{said}");
    assert_eq!(all("names "), ["localhost, 127.0.0.1, ::1", "none"], "{said}");
    for key in ["valid ", "key "] {
        assert_eq!(all(key).len(), 2, "{key}: {said}");
    }
    for key in ["subject ", "serial ", "SHA-256 "] {
        assert_eq!(all(key).len(), 2, "{key}: {said}");
        assert_ne!(all(key)[0], all(key)[1], "{key}: {said}");
    }
}

#[test]
fn a_certificate_that_is_refused_is_shown_too() {
    let ca = ca();
    let daemon = daemon(&ca, &server("refused"));
    let output = client(&daemon, &["-q", "--ca", "another.pem", "--show-certificate", "localhost"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("subject  CN=refused\n") && said.contains("SHA-256"), "{said}");
    assert!(said.lines().last().unwrap().starts_with("echo-alex-client: "), "{said}");
}

#[test]
fn a_fingerprint_from_the_daemons_log_is_enough() {
    let daemon =
        Daemon::start("[[listener]]\nname = \"tls\"\nlisten = \"127.0.0.1:0\"\n[listener.tls]\n");
    let line = daemon.wait_for_line(|line| line.contains("SHA-256 fingerprint "));
    let print = line.split("SHA-256 fingerprint ").nth(1).unwrap().split(';').next().unwrap();
    let output = client(&daemon, &["--fingerprint", &format!("sha256:{print}"), "127.0.0.1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(client(&daemon, &["-q", "127.0.0.1"]).status.code(), Some(3));
}

#[test]
fn insecure_prints_in_capitals_that_the_server_is_not_verified() {
    let ca = ca();
    let daemon = daemon(&ca, &server("whoever"));
    let output = client(&daemon, &["--insecure", "localhost"]);
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("NOT VERIFIED: ANYONE CAN HAVE ANSWERED"), "{said}");
    assert!(said.contains("certificate not verified: CN=whoever"), "{said}");
}

#[test]
fn bench_and_ping_print_the_unverified_server_and_json_stays_json() {
    let ca = ca();
    let daemon = daemon(&ca, &server("measured"));
    for task in
        [&["bench", "--duration=0.1"][..], &["handshakes", "--duration=0.2"], &["ping", "-c1"]]
    {
        let arguments = [task, &["--json", "--insecure", "localhost"]].concat();
        let output = client(&daemon, &arguments);
        let said = stderr(&output);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("NOT VERIFIED") && said.contains("CN=measured"), "{task:?}: {said}");
        // bench prints an object for each second, and then the report.
        let objects = serde_json::Deserializer::from_slice(&output.stdout);
        let objects: Result<Vec<serde_json::Value>, _> = objects.into_iter().collect();
        assert!(!objects.unwrap().is_empty());
    }
}

fn mutual(folder: tempfile::TempDir) -> Daemon {
    Daemon::start_in(folder, &format!("{TLS}client-ca = \"signing.pem\"\n"), |_| {})
}

#[test]
fn a_server_that_asks_for_a_certificate_gets_it_or_refuses() {
    let folder = folder_with_certificates();
    stranger(folder.path());
    let daemon = mutual(folder);
    let base = ["-q", "--ca", "signing.pem"];
    let with = |name: &str| {
        let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
        let own = ["--cert", &certificate, "--key", &key, "localhost"];
        client(&daemon, &[&base[..], &own].concat())
    };
    let output = with("laptop");
    assert!(output.status.success(), "{}", stderr(&output));

    let output = client(&daemon, &[&base[..], &["localhost"]].concat());
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    let words = "the server refuses us: the peer asks for a certificate; show it one";
    assert!(said.contains(words) && said.contains("--cert FILE --key FILE"), "{said}");

    assert_eq!(said.lines().count(), 1, "{said}");

    let output = with("stranger");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains("the server refuses us: "), "{}", stderr(&output));
    let line = daemon.wait_for_line(|line| line.contains("reason=tls-peer"));
    assert_ne!(field(&line, "peer"), "");
}

#[test]
fn other_servers_that_ask_for_a_certificate_are_understood_too() {
    let folder = folder_with_certificates();
    stranger(folder.path());
    for version in ["1.2", "1.3"] {
        let mut servers = Vec::new();
        if let Some(mut openssl) = tool("openssl") {
            let port = ReservedPort::new();
            openssl.current_dir(folder.path()).args(["s_server", "-quiet", "-Verify", "1"]);
            openssl.args(["-verify_return_error", "-CAfile", "signing.pem"]);
            openssl.args(["-cert", "alex.crt", "-key", "alex.key"]);
            openssl.arg(format!("-tls{}", version.replace('.', "_")));
            openssl.args(["-accept", &format!("127.0.0.1:{}", port.number)]);
            servers.push(("openssl", Running::start_server(openssl, &port), port));
        }
        if let Some(mut gnutls) = tool("gnutls-serv") {
            let port = ReservedPort::new();
            gnutls.current_dir(folder.path()).args(["--echo", "--quiet"]);
            gnutls.args(["--require-client-cert", "--verify-client-cert"]);
            gnutls.args(["--x509cafile", "signing.pem", "--x509certfile", "alex.crt"]);
            gnutls.args(["--x509keyfile", "alex.key", "--port", &port.number.to_string()]);
            gnutls.arg(format!("--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}"));
            servers.push(("gnutls-serv", Running::start_server(gnutls, &port), port));
        }
        for (server, _running, port) in &servers {
            let outcome = |own: &[&str]| {
                Command::new(env!("CARGO_BIN_EXE_echo-alex-client"))
                    .current_dir(folder.path())
                    .args(["-q", "--tls", "--ca", "signing.pem", "--name", "localhost"])
                    .args(own)
                    .args(["127.0.0.1", &port.number.to_string()])
                    .stdin(Stdio::null())
                    .output()
                    .unwrap()
            };
            let cases: [(&[&str], &str); 2] = [
                (&[], "the peer asks for a certificate; show it one"),
                (&["--cert", "stranger.crt", "--key", "stranger.key"], "our certificate"),
            ];
            for (own, words) in cases {
                let output = outcome(own);
                let said = stderr(&output);
                let case = format!("{server}, TLS {version}, {own:?}: {said}");
                assert_eq!(output.status.code(), Some(3), "{case}");
                assert!(said.contains("the server refuses us: "), "{case}");
                assert!(said.contains(words) && said.contains("--cert FILE --key FILE"), "{case}");
                assert_eq!(said.lines().count(), 1, "{case}");
            }
        }
    }
}

#[test]
fn without_anything_in_common_the_client_prints_its_offer() {
    let folder = folder_with_certificates();
    let versions = "TLS 1.2 and 1.3";
    let cases: [(&[&str], &[&str]); 2] = [
        (
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"],
            &[
                "no cipher suite, group or signature scheme in common (the alert handshake_failure ",
                versions,
                "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
                "X25519",
                "ED25519",
            ],
        ),
        (
            &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
            &["no version in common (the alert protocol_version ", versions],
        ),
    ];
    for (arguments, words) in cases {
        let Some(mut openssl) = tool("openssl") else { return };
        let port = ReservedPort::new();
        openssl.current_dir(folder.path()).args(["s_server", "-quiet", "-cert", "alex.crt"]);
        openssl.args(["-key", "alex.key"]).args(arguments);
        openssl.args(["-accept", &format!("127.0.0.1:{}", port.number)]);
        let _running = Running::start_server(openssl, &port);
        let output = Command::new(env!("CARGO_BIN_EXE_echo-alex-client"))
            .current_dir(folder.path())
            .args(["-q", "--tls", "--ca", "signing.pem", "127.0.0.1", &port.number.to_string()])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.len() < 1000, "{said}");
        for word in words {
            assert!(said.contains(word), "no {word:?} in {said}");
        }
    }
}

fn stranger(folder: &Path) {
    Authority::new("another CA").write_client(folder, "stranger");
}

#[test]
fn a_plain_echo_server_is_reported_as_not_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 2000];
        let count = stream.read(&mut buffer).unwrap();
        // A plain echo server.
        let _ = stream.write_all(&buffer[..count]);
        let _ = stream.read(&mut buffer);
    });
    let output = Command::new(env!("CARGO_BIN_EXE_echo-alex-client"))
        .args(["-q", "--tls", "--insecure", "127.0.0.1", &address.port().to_string()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("the server does not speak TLS on this port"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}
