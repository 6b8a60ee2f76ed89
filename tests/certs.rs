//! echo-alex-certs: other programs accept what it makes, its files are safe, and it explains each fault
//! of a certificate in a sentence.

mod util;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use echo_alex::testing::{CA_DAYS, DAYS};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;
use util::{Authority, Daemon, TLS, TlsClient, assert_echo, tool, write_identity};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The program in `folder`; its files are in `certs`.
fn certs(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echo-alex-certs"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command
}

/// Runs it: exit code, stdout, stderr.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = certs(folder, arguments).output().unwrap();
    (
        output.status.code().expect("ended by a signal"),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// Runs it; it must succeed without a message. Returns stdout.
fn good(folder: &Path, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = run(folder, arguments);
    assert_eq!((code, stderr.as_str()), (0, ""), "{arguments:?}: {stdout}");
    stdout
}

/// Runs it; it must fail with one line. Returns the exit code and the line.
fn refused(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let (code, stdout, stderr) = run(folder, arguments);
    assert_eq!(stdout, "", "{arguments:?}");
    assert!(stderr.starts_with("echo-alex-certs: "), "{arguments:?}: {stderr:?}");
    assert_eq!(stderr.matches('\n').count(), 1, "{arguments:?}: {stderr:?}");
    assert_ne!(code, 0, "{arguments:?}");
    (code, stderr.trim_end().to_string())
}

/// A folder with a set made by `init` for localhost.
fn initialised() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    good(folder.path(), &["init", "--name", "localhost", "--name", "127.0.0.1"]);
    folder
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The names of the files in a folder, sorted.
fn listing(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The contents of each file in a folder, by its name.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |name: String| (name.clone(), fs::read(folder.join(name)).unwrap());
    listing(folder).into_iter().map(read).collect()
}

/// The value of a line that `show` prints.
fn property<'a>(shown: &'a str, name: &str) -> &'a str {
    let line = shown.lines().find(|line| line.starts_with(name));
    line.unwrap_or_else(|| panic!("no {name} in {shown}"))[name.len()..].trim()
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join("certs").join(name)).unwrap()
}

#[test]
fn init_makes_the_whole_set_and_prints_how_to_use_it() {
    let folder = tempfile::tempdir().unwrap();
    let said = good(folder.path(), &["init", "--name", "alex.local", "--name", "192.168.1.16"]);
    let made = folder.path().join("certs");
    assert_eq!(
        listing(&made),
        ["alex.crt", "alex.key", "laptop.crt", "laptop.key", "signing.key", "signing.pem"]
    );
    for (name, expected) in [("alex", 0o600), ("laptop", 0o600), ("signing", 0o600)] {
        assert_eq!(mode(&made.join(format!("{name}.key"))), expected, "{name}.key");
    }
    for name in ["alex.crt", "laptop.crt", "signing.pem"] {
        assert_eq!(mode(&made.join(name)), 0o644, "{name}");
    }
    assert_eq!(mode(&made), 0o755);
    assert!(said.contains("certs/alex.crt: CN=alex.local, signed by CN=echo-alex CA"), "{said}");
    assert!(said.contains("\n  certificate = \"certs/alex.crt\"\n"), "{said}");
    assert!(said.contains("\n  key = \"certs/alex.key\"\n"), "{said}");
    let client = "echo-alex-client --tls --ca certs/signing.pem alex.local";
    assert!(said.ends_with(&format!("\n  {client}\n")), "{said}");
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    for umask in ["000", "077"] {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("umask {umask}; exec \"$0\" init");
        let status = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_echo-alex-certs")])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success());
        let made = folder.path().join("certs");
        assert_eq!(mode(&made.join("alex.key")), 0o600, "umask {umask}");
        assert_eq!(mode(&made.join("alex.crt")), 0o644, "umask {umask}");
        assert_eq!(mode(&made), 0o755, "umask {umask}");
    }
}

#[test]
fn names_default_to_those_of_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    good(folder.path(), &["init"]);
    let shown = good(folder.path(), &["show", "certs/alex.crt"]);
    let names: Vec<&str> = property(&shown, "names").split(", ").collect();
    assert!(names.contains(&"localhost") && names.contains(&"127.0.0.1"), "{names:?}");
    let uname = rustix::system::uname();
    let host = uname.nodename().to_str().unwrap();
    assert!(names.contains(&host), "{host} in {names:?}");
}

#[test]
fn certificates_have_the_extensions_of_rfc_5280() {
    let Some(mut openssl) = tool("openssl") else { return };
    let folder = initialised();
    let made = folder.path().join("certs");
    let text = |name: &str| {
        let mut openssl = Command::new(openssl.get_program());
        let output = openssl.args(["x509", "-noout", "-text", "-in"]).arg(made.join(name)).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let expected = [
        ("signing.pem", "Basic Constraints: critical\n                CA:TRUE, pathlen:0"),
        ("signing.pem", "Key Usage: critical\n                Certificate Sign, CRL Sign"),
        ("alex.crt", "Basic Constraints: critical\n                CA:FALSE"),
        ("alex.crt", "Key Usage: critical\n                Digital Signature\n"),
        ("alex.crt", "TLS Web Server Authentication\n"),
        ("alex.crt", "DNS:localhost, IP Address:127.0.0.1\n"),
        ("alex.crt", "Subject Key Identifier"),
        ("alex.crt", "Authority Key Identifier"),
        ("laptop.crt", "TLS Web Client Authentication\n"),
    ];
    for (name, part) in expected {
        let text = text(name);
        assert!(text.contains(part), "{name}: no {part:?} in {text}");
    }
    // The clock of a peer may be slow by a day.
    openssl.args(["x509", "-noout", "-checkend", "31449600", "-in"]).arg(made.join("alex.crt"));
    assert!(openssl.stdout(Stdio::null()).status().unwrap().success(), "ends within 364 days");
    let shown = good(folder.path(), &["show", "certs/alex.crt"]);
    let begin = property(&shown, "valid").split(' ').next().unwrap();
    let begin = humantime::parse_rfc3339(begin).unwrap();
    let age = SystemTime::now().duration_since(begin).unwrap();
    assert!((DAY..DAY + Duration::from_secs(3600)).contains(&age), "{age:?}");
}

#[test]
fn openssl_gnutls_and_rustls_accept_every_type_of_key() {
    for key_type in ["ecdsa", "ed25519"] {
        let folder = tempfile::tempdir().unwrap();
        let names = ["init", "--key-type", key_type, "--name", "localhost"];
        good(folder.path(), &names);
        accepted_by_all(folder.path(), &["certs/alex.crt", "certs/laptop.crt"]);
        let shown = good(folder.path(), &["show", "certs/alex.crt", "certs/signing.pem"]);
        let key = if key_type == "ecdsa" { "ECDSA P-256" } else { "Ed25519" };
        assert_eq!(shown.matches(&format!("key      {key}\n")).count(), 2, "{shown}");
    }
}

#[test]
fn openssl_and_gnutls_read_every_key() {
    for key_type in ["ecdsa", "ed25519"] {
        let folder = tempfile::tempdir().unwrap();
        good(folder.path(), &["init", "--key-type", key_type, "--name", "localhost"]);
        for key in ["alex.key", "laptop.key", "signing.key"] {
            let path = folder.path().join("certs").join(key);
            if let Some(mut openssl) = tool("openssl") {
                let output = openssl.args(["pkey", "-noout", "-in"]).arg(&path).output().unwrap();
                assert!(output.status.success(), "openssl, {key_type}, {key}: {output:?}");
            }
            if let Some(mut certtool) = tool("certtool") {
                certtool.args(["--key-info", "--infile"]);
                let output = certtool.arg(&path).output().unwrap();
                assert!(output.status.success(), "certtool, {key_type}, {key}: {output:?}");
            }
        }
    }
}

#[test]
fn an_ed25519_key_is_served_and_renewed_in_both_forms() {
    let folder = tempfile::tempdir().unwrap();
    good(folder.path(), &["init", "--key-type", "ed25519", "--name", "localhost"]);
    let config = TLS.replace("\"alex.", "\"certs/alex.");
    let daemon = Daemon::start_in(folder, &config, |_| {});
    let made = daemon.path("certs");
    let echoes = || {
        let config = TlsClient::default().config(&made);
        assert_echo(&mut util::connect_tls(&config, daemon.address("tls")), b"Ed25519");
    };
    echoes();
    good(daemon.folder.path(), &["server", "--renew"]);

    // PKCS#8 version 2, which includes the public key: what rcgen writes.
    let old = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    assert_eq!(old.serialized_der()[4], 1, "the version is 2");
    fs::write(made.join("alex.key"), old.serialize_pem()).unwrap();
    good(daemon.folder.path(), &["server", "--renew"]);
    assert_eq!(fs::read_to_string(made.join("alex.key")).unwrap(), old.serialize_pem());
    assert!(daemon.reload().ends_with(" reloaded"));
    echoes();

    // The same as the key of a CA.
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    fs::write(made.join("old.pem"), params.self_signed(&old).unwrap().pem()).unwrap();
    fs::write(made.join("old.key"), old.serialize_pem()).unwrap();
    good(daemon.folder.path(), &["server", "old.local", "--file", "leaf", "--ca", "certs/old.pem"]);
    good(daemon.folder.path(), &["verify", "certs/leaf.crt", "--ca", "certs/old.pem"]);
}

fn accepted_by_all(folder: &Path, certificates: &[&str]) {
    for certificate in certificates {
        let said = good(folder, &["verify", certificate]);
        assert!(said.starts_with(&format!("{certificate}: good: ")), "{said}");
        assert!(said.contains(", with its key in "), "{said}");
        if let Some(mut openssl) = tool("openssl") {
            openssl.args(["verify", "-x509_strict", "-CAfile", "certs/signing.pem"]);
            let output = openssl.arg(certificate).current_dir(folder).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && said.contains(": OK"), "openssl: {output:?}");
        }
        if let Some(mut certtool) = tool("certtool") {
            certtool.args(["--verify", "--verify-profile", "medium"]);
            certtool.args(["--load-ca-certificate", "certs/signing.pem", "--infile", certificate]);
            let output = certtool.current_dir(folder).output().unwrap();
            assert!(output.status.success(), "certtool: {output:?}");
        }
    }
}

#[test]
fn an_rsa_key_can_be_signed_but_not_made() {
    let folder = initialised();
    let (code, said) = refused(folder.path(), &["server", "--key-type", "rsa", "--force", "alex"]);
    assert_eq!(code, 64, "{said}");
    assert!(said.contains("openssl genpkey -algorithm RSA"), "{said}");

    let Some(mut openssl) = tool("openssl") else { return };
    openssl.args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"]);
    openssl.args(["-quiet", "-out", "certs/rsa.key"]).current_dir(folder.path());
    assert!(openssl.status().unwrap().success());
    good(folder.path(), &["server", "--renew", "rsa.local"]);
    accepted_by_all(folder.path(), &["certs/rsa.crt"]);
    let shown = good(folder.path(), &["show", "certs/rsa.crt"]);
    assert_eq!(property(&shown, "key"), "RSA 3072 bits");
}

#[test]
fn ca_server_and_client_can_be_made_separately() {
    let folder = tempfile::tempdir().unwrap();
    good(folder.path(), &["ca", "Studio CA", "--days", "30"]);
    let said = good(folder.path(), &["server", "kitchen.local", "*.home.arpa", "--ip", "10.0.0.7"]);
    assert!(said.contains(", when its CA expires\n"), "365 days are more than the CA has: {said}");
    good(folder.path(), &["client", "Jo's tablet", "--file", "tablet", "--days", "7"]);
    accepted_by_all(folder.path(), &["certs/kitchen.crt", "certs/tablet.crt"]);
    let shown = good(folder.path(), &["show", "certs/kitchen.crt"]);
    assert_eq!(property(&shown, "subject"), "CN=kitchen.local");
    assert_eq!(property(&shown, "issuer"), "CN=Studio CA");
    assert_eq!(property(&shown, "names"), "kitchen.local, *.home.arpa, 10.0.0.7");
    let named = ["verify", "certs/kitchen.crt", "--name"];
    for name in ["kitchen.local", "lamp.home.arpa", "10.0.0.7"] {
        good(folder.path(), &[&named[..], &[name]].concat());
    }
    let shown = good(folder.path(), &["show", "certs/tablet.crt"]);
    assert_eq!(property(&shown, "subject"), "CN=Jo's tablet");
    assert_eq!(property(&shown, "use"), "client");
}

#[test]
fn a_ca_of_another_program_can_sign() {
    let Some(mut openssl) = tool("openssl") else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("certs")).unwrap();
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"]);
    openssl.args(["-nodes", "-days", "30", "-subj", "/C=DE/O=Studio/CN=Studio CA"]);
    openssl.args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
    openssl.args(["-keyout", "certs/signing.key", "-out", "certs/signing.pem"]);
    let output = openssl.current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    good(folder.path(), &["server", "alex.local"]);
    accepted_by_all(folder.path(), &["certs/alex.crt"]);
    let shown = good(folder.path(), &["show", "certs/alex.crt"]);
    assert_eq!(property(&shown, "issuer"), "C=DE, O=Studio, CN=Studio CA");
}

/// Makes with openssl a root CA in `root.pem` and `root.key`, and an intermediate CA in `ca.pem` and
/// `ca.key`. `name` is the name of the root in openssl's notation, an attribute a line; the
/// intermediate CA has one more attribute.
fn make_authorities(folder: &Path, name: &str, extensions: &str) {
    let openssl = |line: &str| {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(folder).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
    };
    let request = "[req]\ndistinguished_name = name\nprompt = no\nutf8 = yes\n";
    let extensions = format!(
        "[ca]\nbasicConstraints = critical, CA:TRUE\nsubjectKeyIdentifier = hash\n{extensions}\n"
    );
    let below = "authorityKeyIdentifier = keyid\n[name]\n9.OU = below\n";
    fs::write(folder.join("root.cnf"), format!("{request}{extensions}[name]\n{name}\n")).unwrap();
    fs::write(folder.join("ca.cnf"), format!("{request}{extensions}{below}{name}\n")).unwrap();
    let request = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc";
    openssl(&format!(
        "{request} -x509 -config root.cnf -extensions ca -days 30 -keyout root.key -out root.pem"
    ));
    openssl(&format!("{request} -config ca.cnf -keyout ca.key -out ca.csr"));
    openssl(
        "x509 -req -in ca.csr -CA root.pem -CAkey root.key -set_serial 2 -days 20 -extfile ca.cnf \
         -extensions ca -out ca.pem",
    );
}

const SIGNS: &str = "keyUsage = critical, keyCertSign, cRLSign";

#[test]
fn other_programs_accept_the_certificates_of_a_ca_with_any_name() {
    if tool("openssl").is_none() {
        return;
    }
    let names = [
        ("two components", "0.DC = com\n1.DC = example\nCN = Studio CA"),
        ("two units", "0.OU = sound\n1.OU = light\nCN = Studio CA"),
        ("an RDN of two attributes", "OU = sound\n+CN = Studio CA"),
        ("another order", "CN = Studio CA\nO = Studio\nC = DE"),
        ("letters", "CN = Bücherei"),
    ];
    for (what, name) in names {
        let folder = tempfile::tempdir().unwrap();
        make_authorities(folder.path(), name, SIGNS);
        accepted_below_authorities(folder.path(), what);
    }
    // A T61String: openssl makes it if nothing else is allowed (bit 2).
    let folder = tempfile::tempdir().unwrap();
    make_authorities(folder.path(), "CN = Studio CA\n[req]\nstring_mask = MASK:4", SIGNS);
    accepted_below_authorities(folder.path(), "a T61String");
    let root = CertificateDer::from_pem_file(folder.path().join("root.pem")).unwrap();
    let t61 = [&[20, 9][..], b"Studio CA"].concat();
    assert!(root.windows(t61.len()).any(|part| part == t61), "the name is not a T61String");
}

/// Asserts that openssl, certtool and rustls accept what both CAs of [`make_authorities`] sign.
fn accepted_below_authorities(folder: &Path, what: &str) {
    for (ca, untrusted) in [("root", &[][..]), ("ca", &["-untrusted", "ca.pem"])] {
        let authority = format!("{ca}.pem");
        let by = ["--dir", ".", "--ca", &authority, "--force"];
        good(folder, &[&["server", "alex.local", "--ip", "10.0.0.7"][..], &by].concat());
        good(folder, &[&["client", "laptop"][..], &by].concat());
        for (file, purpose) in [("alex.crt", "sslserver"), ("laptop.crt", "sslclient")] {
            good(folder, &["verify", file, "--ca", "root.pem"]);
            let mut openssl = Command::new("openssl");
            openssl.args(["verify", "-x509_strict", "-purpose", purpose, "-CAfile", "root.pem"]);
            let output = openssl.args(untrusted).arg(file).current_dir(folder).output().unwrap();
            assert!(output.status.success(), "{what}, {file} by {ca}: {output:?}");
            let Some(mut certtool) = tool("certtool") else { continue };
            certtool.args(["--verify", "--load-ca-certificate", "root.pem", "--infile", file]);
            let output = certtool.current_dir(folder).output().unwrap();
            assert!(output.status.success(), "{what}, {file} by {ca}: {output:?}");
        }
    }
}

#[test]
fn a_certificate_that_the_ca_may_not_sign_is_not_written() {
    if tool("openssl").is_none() {
        return;
    }
    let permitted = "nameConstraints = critical, permitted;DNS:home.arpa, \
                     permitted;IP:10.0.0.0/255.0.0.0, excluded;DNS:pi.home.arpa";
    let in_words = "permits only home.arpa and names below it, 10.0.0.0/8, and excludes \
                    pi.home.arpa and names below it";
    let excluded = "nameConstraints = critical, excluded;DNS:.local";
    let cases: &[(&str, &str, &[&str], &str)] = &[
        ("keyUsage = critical, cRLSign", "", &["server", "alex.local"], "lacks keyCertSign: sign"),
        (SIGNS, "extendedKeyUsage = clientAuth", &["server", "alex.local"], "not sign for servers"),
        (SIGNS, "extendedKeyUsage = serverAuth", &["client", "laptop"], "not sign for clients"),
        (SIGNS, permitted, &["server", "alex.local"], in_words),
        (SIGNS, permitted, &["server", "alex.home.arpa", "--ip", "192.168.1.1"], in_words),
        (SIGNS, permitted, &["server", "a.home.arpa", "b.pi.home.arpa"], in_words),
        (SIGNS, excluded, &["server", "alex.local"], "excludes names below local; use a name"),
    ];
    for (usage, more, command, part) in cases {
        let folder = tempfile::tempdir().unwrap();
        make_authorities(folder.path(), "CN = Studio CA", &format!("{usage}\n{more}"));
        for ca in ["root.pem", "ca.pem"] {
            let (code, said) = refused(folder.path(), &[*command, &["--ca", ca]].concat());
            assert_eq!(code, 78, "{said}");
            assert!(said.contains(part) && said.contains("CN=Studio CA"), "{part:?}: {said}");
            let made = folder.path().join("certs");
            assert!(!made.exists() || listing(&made).is_empty(), "{said}");
        }
    }

    // A permitted name passes; a certificate of another program is explained in the same words.
    let folder = tempfile::tempdir().unwrap();
    make_authorities(folder.path(), "CN = Studio CA", &format!("{SIGNS}\n{permitted}"));
    good(folder.path(), &["server", "alex.home.arpa", "--ip", "10.0.0.7", "--ca", "root.pem"]);
    let shown = good(folder.path(), &["show", "root.pem"]);
    assert_eq!(property(&shown, "limits"), in_words);
    let sign = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj /CN=alex -addext \
                subjectAltName=DNS:alex.local -addext basicConstraints=critical,CA:FALSE -CA root.pem \
                -CAkey root.key -keyout alex.key -out alex.crt";
    let output = Command::new("openssl").args(sign.split(' ')).current_dir(folder.path()).output();
    assert!(output.unwrap().status.success());
    let (code, said) = refused(folder.path(), &["verify", "alex.crt", "--ca", "root.pem"]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains(&format!("limits (name constraints) of CN=Studio CA, which {in_words}; "))
    );
}

#[test]
fn nothing_is_signed_while_the_clock_is_slow() {
    let folder = initialised();
    let made = folder.path().join("certs");
    let early = Workshop::ca("the early CA", |it| it.not_before = (SystemTime::now() + DAY).into());
    fs::write(made.join("early.pem"), early.pem()).unwrap();
    fs::write(made.join("early.key"), early.key().serialize_pem()).unwrap();
    let before = contents(&made);
    let by = ["--ca", "certs/early.pem"];
    for command in [
        &["server", "--renew"][..],
        &["server", "alex.local", "--force"],
        &["client", "--renew", "laptop"],
        &["client", "tablet"],
    ] {
        let (code, said) = refused(folder.path(), &[command, &by].concat());
        assert_eq!(code, 78, "{said}");
        assert!(said.contains("the CA CN=the early CA is not valid before "), "{said}");
        assert!(said.contains("clock says ") && said.contains("set the clock"), "{said}");
    }

    // If the CA is old enough, the certificate that would be replaced decides.
    let mut params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
    params.not_before = (SystemTime::now() + DAY).into();
    let ca = Workshop::ca("another CA", |_| {});
    let key = KeyPair::from_pem(&read(&folder, "alex.key")).unwrap();
    fs::write(made.join("alex.crt"), params.signed_by(&key, &ca).unwrap().pem()).unwrap();
    let (code, said) = refused(folder.path(), &["server", "--renew"]);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("certs/alex.crt is not valid before "), "{said}");
    fs::write(made.join("alex.crt"), &before["alex.crt"]).unwrap();
    assert_eq!(contents(&made), before);
}

#[test]
fn nothing_is_overwritten_without_force() {
    let folder = initialised();
    let before: Vec<String> =
        listing(&folder.path().join("certs")).iter().map(|name| read(&folder, name)).collect();
    let commands: [&[&str]; 4] =
        [&["init"], &["ca"], &["server", "alex.local"], &["client", "laptop"]];
    for command in commands {
        let (code, said) = refused(folder.path(), command);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(" exists already; --force would replace it"), "{said}");
    }
    // One existing file is enough.
    fs::remove_file(folder.path().join("certs/laptop.key")).unwrap();
    refused(folder.path(), &["client", "laptop"]);
    assert!(!folder.path().join("certs/laptop.key").exists());
    fs::write(folder.path().join("certs/laptop.key"), &before[3]).unwrap();
    let after: Vec<String> =
        listing(&folder.path().join("certs")).iter().map(|name| read(&folder, name)).collect();
    assert!(before == after);

    good(folder.path(), &["client", "laptop", "--force"]);
    assert_ne!(read(&folder, "laptop.key"), before[3]);
    assert_eq!(mode(&folder.path().join("certs/laptop.key")), 0o600);
    accepted_by_all(folder.path(), &["certs/laptop.crt"]);
}

#[test]
fn a_link_is_neither_followed_nor_replaced() {
    let folder = initialised();
    let target = folder.path().join("elsewhere");
    std::os::unix::fs::symlink(&target, folder.path().join("certs/new.key")).unwrap();
    let (_, said) = refused(folder.path(), &["server", "new.local"]);
    assert!(said.contains("certs/new.key exists already"), "{said}");
    good(folder.path(), &["server", "new.local", "--force"]);
    assert!(!target.exists(), "the key went where the link points");
}

#[test]
fn a_write_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // Like a full disk: no file may have a byte.
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" init 2>&1 | cat";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_echo-alex-certs")])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let start = "echo-alex-certs: cannot write certs/signing.key: ";
    assert!(said.starts_with(start) && said.contains("too large"), "{said}");
    assert_eq!(listing(&folder.path().join("certs")), [""; 0]);

    // A renewal that fails leaves the old certificate.
    let folder = initialised();
    let before = read(&folder, "alex.crt");
    let script = script.replace("init", "server --renew");
    let output = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_echo-alex-certs")])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("echo-alex-certs: cannot write certs/alex.crt: "), "{said}");
    assert_eq!(read(&folder, "alex.crt"), before);
    assert_eq!(listing(&folder.path().join("certs")).len(), 6);
}

#[test]
fn a_renewed_certificate_is_served_after_sighup_and_old_sessions_continue() {
    let folder = initialised();
    let config = TLS.replace("\"alex.", "\"certs/alex.");
    let daemon = Daemon::start_in(folder, &config, |_| {});
    let made = daemon.path("certs");
    let client = TlsClient::default();
    let mut old = util::connect_tls(&client.config(&made), daemon.address("tls"));
    assert_echo(&mut old, b"before");
    let served = |session: &mut rustls::StreamOwned<rustls::ClientConnection, _>| {
        session.conn.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let first = served(&mut old);
    let key = fs::read_to_string(made.join("alex.key")).unwrap();

    good(daemon.folder.path(), &["server", "--renew"]);
    assert_eq!(fs::read_to_string(made.join("alex.key")).unwrap(), key, "the key is kept");
    let renewed = CertificateDer::from_pem_file(made.join("alex.crt")).unwrap();
    assert_ne!(first, renewed, "the certificate is new");
    assert!(daemon.reload().contains(" reloaded"));

    assert_echo(&mut old, b"after");
    let mut new = util::connect_tls(&client.config(&made), daemon.address("tls"));
    assert_echo(&mut new, b"after");
    assert_eq!(served(&mut new), renewed);
}

#[test]
fn openssl_and_gnutls_accept_the_server_and_are_accepted_as_clients() {
    let config = TLS.replace("\"alex.", "\"certs/alex.");
    let config = format!("{config}client-ca = \"certs/signing.pem\"\n");
    let daemon = Daemon::start_in(initialised(), &config, |_| {});
    let address = daemon.address("tls");
    let port = address.port().to_string();
    let connect = address.to_string();
    let openssl: &[&str] = &[
        "openssl s_client -quiet -no_ign_eof -verify_return_error -verify_hostname localhost",
        "-CAfile certs/signing.pem -cert certs/laptop.crt -key certs/laptop.key -connect",
        &connect,
    ];
    let gnutls: &[&str] = &[
        "gnutls-cli --x509cafile certs/signing.pem --x509certfile certs/laptop.crt",
        "--x509keyfile certs/laptop.key 127.0.0.1 --port",
        &port,
    ];
    for line in [openssl.join(" "), gnutls.join(" ")] {
        let mut words = line.split(' ');
        let Some(program) = tool(words.next().unwrap()) else { continue };
        let mut child = Command::new("timeout")
            .arg(util::PATIENCE.as_secs().to_string())
            .arg(program.get_program())
            .args(words)
            .current_dir(daemon.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.as_mut().unwrap().write_all(b"hello, alex\n").unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut lines = stdout.lines().map_while(Result::ok);
        assert!(lines.any(|line| line == "hello, alex"), "{line}");
        drop(child.stdin.take());
        lines.for_each(drop);
        assert!(util::wait(&mut child).success(), "{line}");
    }
}

#[test]
fn renewing_keeps_the_names_and_adds_those_given() {
    let folder = initialised();
    let shown = |file: &str| good(folder.path(), &["show", file]);
    let before = shown("certs/alex.crt");
    good(folder.path(), &["server", "--renew", "--file", "alex", "new.local", "localhost"]);
    let after = shown("certs/alex.crt");
    assert_eq!(property(&after, "names"), "localhost, 127.0.0.1, new.local");
    good(folder.path(), &["server", "--renew", "--ip", "::1"]);
    let after = shown("certs/alex.crt");
    assert_eq!(property(&after, "names"), "localhost, 127.0.0.1, new.local, ::1");
    assert_ne!(property(&before, "serial"), property(&after, "serial"));
    accepted_by_all(folder.path(), &["certs/alex.crt"]);

    let before = shown("certs/laptop.crt");
    let key = read(&folder, "laptop.key");
    good(folder.path(), &["client", "--renew", "laptop"]);
    assert_ne!(property(&before, "serial"), property(&shown("certs/laptop.crt"), "serial"));
    assert_eq!(read(&folder, "laptop.key"), key);

    let (code, said) = refused(folder.path(), &["server", "--renew", "laptop"]);
    assert_eq!((code, said.contains("is a client's certificate")), (64, true), "{said}");
    let (code, said) = refused(folder.path(), &["client", "--renew", "alex"]);
    assert_eq!((code, said.contains("is a server's certificate")), (64, true), "{said}");
}

/// Makes certificates with the mistakes that the program itself does not make.
struct Workshop {
    folder: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Workshop {
    fn new() -> Self {
        let ca = Self::ca("the CA", |_| {});
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("signing.pem"), ca.pem()).unwrap();
        Self { folder, ca }
    }

    fn ca(
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        change(&mut params);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// Writes NAME.crt and NAME.key for alex.local, signed by `signer` or by itself.
    fn make(
        &self,
        name: &str,
        signer: Option<&CertifiedIssuer<'static, KeyPair>>,
        change: impl FnOnce(&mut CertificateParams),
    ) {
        let mut params = CertificateParams::new(vec!["alex.local".to_string()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "alex");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let made = match signer {
            Some(signer) => params.signed_by(&key, signer),
            None => params.self_signed(&key),
        };
        write_identity(self.folder.path(), name, &made.unwrap().pem(), &key.serialize_pem());
    }
}

#[test]
fn each_fault_of_a_certificate_is_a_sentence_with_a_cure() {
    let workshop = Workshop::new();
    let (now, ca) = (SystemTime::now(), &workshop.ca);
    workshop.make("good", Some(ca), |_| {});
    workshop.make("expired", Some(ca), |it| it.not_after = (now - 3 * DAY).into());
    workshop.make("early", Some(ca), |it| it.not_before = (now + 3 * DAY).into());
    workshop.make("self-signed", None, |_| {});
    workshop.make("nameless", Some(ca), |it| it.subject_alt_names.clear());
    workshop.make("foreign", Some(&Workshop::ca("another CA", |_| {})), |_| {});
    workshop.make("impostor", Some(&Workshop::ca("the CA", |_| {})), |_| {});
    workshop.make("client", Some(ca), |it| {
        it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    workshop.make("other-use", Some(ca), |it| {
        it.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    });
    workshop.make("mixed", Some(ca), |_| {});
    let good_key = workshop.folder.path().join("good.key");
    fs::copy(good_key, workshop.folder.path().join("mixed.key")).unwrap();
    let old = Workshop::ca("the old CA", |it| it.not_after = (now - 3 * DAY).into());
    fs::write(workshop.folder.path().join("old.pem"), old.pem()).unwrap();
    workshop.make("orphan", Some(&old), |_| {});

    let day = |time: SystemTime| humantime::format_rfc3339(time).to_string()[..10].to_string();
    let (past, future) = (day(now - 3 * DAY), day(now + 3 * DAY));
    let clock = "this machine's clock says ";
    let cases: &[(&[&str], &[&str])] = &[
        (&["expired.crt"], &["CN=alex expired on ", &past, clock, "no clock chip", "renew"]),
        (&["early.crt"], &["not valid before ", &future, clock, "no clock chip", "wait"]),
        (&["good.crt", "--name", "pi"], &["CN=alex is not for pi, but for alex.local", "make a"]),
        (&["good.crt", "--name", "10.0.0.1"], &["is not for 10.0.0.1, but for alex.local"]),
        (&["good.crt", "--name", "a b"], &["\"a b\" is neither a host name nor an address"]),
        (&["nameless.crt"], &["CN=alex has no names", ": make one that has the name"]),
        (&["foreign.crt"], &["signed by CN=another CA, which is not in signing.pem: use"]),
        (&["impostor.crt"], &["CN=the CA as its issuer", "in signing.pem has another key"]),
        (&["self-signed.crt"], &["signed by itself", "not in signing.pem", "fingerprint "]),
        (&["signing.pem"], &["CN=the CA is a CA's certificate", "use one that it has signed"]),
        (&["client.crt", "--name", "alex.local"], &["is for clients, not servers"]),
        (&["other-use.crt"], &["is for neither servers nor clients"]),
        (&["mixed.crt"], &["mixed.key: the key belongs to another certificate"]),
        (
            &["good.crt", "--key", "client.key"],
            &["client.key: the key belongs to another certificate"],
        ),
        (
            &["orphan.crt", "--ca", "old.pem"],
            &["CA CN=the old CA in old.pem expired on ", &past, clock],
        ),
    ];
    let folder = workshop.folder.path();
    for (arguments, parts) in cases {
        let mut command = vec!["verify", "--ca", "signing.pem"];
        command.extend(*arguments);
        let (code, said) = refused(folder, &command);
        assert_eq!(code, 1, "{said}");
        assert!(said.starts_with(&format!("echo-alex-certs: {}: ", arguments[0])), "{said}");
        for part in *parts {
            assert!(said.contains(part), "no {part:?} in {said:?}");
        }
    }
    let fine = ["verify", "--ca", "signing.pem", "good.crt", "client.crt"];
    assert_eq!(good(folder, &fine).matches(": good: ").count(), 2);
    let (code, stdout, stderr) =
        run(folder, &["verify", "--ca", "signing.pem", "foreign.crt", "good.crt"]);
    assert_eq!(code, 1, "one of two is not good: {stderr}");
    assert!(stdout.starts_with("good.crt: good: CN=alex, signed by CN=the CA, until "), "{stdout}");
}

/// Common instructions for openssl make such certificates.
#[test]
fn certificates_without_extensions_or_with_sha1_are_explained() {
    let Some(openssl) = tool("openssl") else { return };
    let folder = initialised();
    let openssl = |line: &str| {
        let mut command = Command::new(openssl.get_program());
        let output = command.args(line.split(' ')).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
    };
    openssl("req -new -subj /CN=localhost -key certs/alex.key -out alex.csr");
    let sign = "x509 -req -in alex.csr -CA certs/signing.pem -CAkey certs/signing.key -days 9";
    openssl(&format!("{sign} -set_serial 7 -out certs/v1.crt"));
    let (_, said) = refused(folder.path(), &["verify", "certs/v1.crt"]);
    assert!(said.contains("of CN=localhost is of X.509 version 1, "), "{said}");

    fs::write(folder.path().join("names"), "subjectAltName=DNS:localhost").unwrap();
    openssl(&format!("{sign} -set_serial 8 -sha1 -extfile names -out certs/sha1.crt"));
    let (_, said) = refused(folder.path(), &["verify", "certs/sha1.crt"]);
    assert!(said.contains("the signature algorithm of CN=localhost is weak"), "{said}");
}

#[test]
fn a_chain_with_an_intermediate_ca_is_followed() {
    let workshop = Workshop::new();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "between");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().unwrap();
    let between = params.signed_by(&key, &workshop.ca).unwrap();
    let folder = workshop.folder.path();
    write_identity(folder, "between", &between.pem(), &key.serialize_pem());

    good(folder, &["server", "alex.local", "--dir", ".", "--ca", "between.crt"]);
    assert_eq!(good(folder, &["show", "alex.crt"]).matches("subject").count(), 2);
    good(folder, &["verify", "--ca", "signing.pem", "alex.crt"]);
}

#[test]
fn control_characters_in_a_certificate_are_escaped() {
    let workshop = Workshop::new();
    let evil = "\u{1b}]0;owned\u{7}\u{202e}lacol.xela\r\nsubject  CN=bank";
    let foreign = Workshop::ca(evil, |_| {});
    workshop.make("evil", Some(&foreign), |it| {
        it.distinguished_name.push(DnType::CommonName, evil);
        let name = "\u{1b}[2Jalex.local\n".try_into().unwrap();
        it.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
    });
    let folder = workshop.folder.path();
    let shown = good(folder, &["show", "evil.crt"]);
    let escaped = "CN=\\u{1b}]0\\;owned\\u{7}\\u{202e}lacol.xela\\u{d}\\u{a}subject  CN\\=bank";
    assert_eq!(property(&shown, "subject"), escaped);
    assert_eq!(property(&shown, "names"), "\\u{1b}[2Jalex.local\\u{a}");
    assert_eq!(shown.lines().count(), 9, "{shown}");
    let (_, said) = refused(folder, &["verify", "--ca", "signing.pem", "evil.crt"]);
    for text in [&shown, &said] {
        let raw = text.chars().find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
        assert_eq!(raw, None, "{text:?}");
    }
}

#[test]
fn show_agrees_with_openssl() {
    let Some(mut openssl) = tool("openssl") else { return };
    let folder = initialised();
    openssl.args(["x509", "-noout", "-serial", "-fingerprint", "-sha256", "-in"]);
    let output = openssl.arg(folder.path().join("certs/alex.crt")).output().unwrap();
    let theirs = String::from_utf8(output.stdout).unwrap();
    let ours = good(folder.path(), &["show", "certs/alex.crt"]);
    let serial = property(&ours, "serial").replace(':', "");
    assert!(theirs.contains(&format!("serial={serial}\n")), "{theirs}{ours}");
    let fingerprint = property(&ours, "SHA-256");
    assert!(theirs.contains(&format!("ingerprint={fingerprint}\n")), "{theirs}{ours}");
}

#[test]
fn a_reader_that_closes_the_pipe_is_not_an_error() {
    let folder = initialised();
    // More than fits in a pipe.
    let many = vec!["certs/alex.crt"; 400];
    let arguments = [vec!["show"], many].concat();
    let mut command = certs(folder.path(), &arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut byte = [0];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut byte).unwrap();
    drop(stdout);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    assert!(util::wait(&mut child).success());
}

#[test]
fn a_key_without_read_permission_stops_signing_but_not_verifying() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root may read everything");
        return;
    }
    let folder = initialised();
    for name in ["alex.key", "signing.key"] {
        let path = folder.path().join("certs").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    }
    let said = good(folder.path(), &["verify", "certs/alex.crt"]);
    assert!(said.ends_with(", and certs/alex.key cannot be read to compare\n"), "{said}");
    let (code, said) = refused(folder.path(), &["server", "new.local"]);
    assert_eq!(code, 77, "{said}");
    assert!(said.ends_with("certs/signing.key: permission denied: run this as its owner"));
}

#[test]
fn output_that_is_lost_is_a_failure() {
    let folder = initialised();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = certs(folder.path(), &["show", "certs/alex.crt"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("echo-alex-certs: cannot write to standard output: no space left"),
        "{said}"
    );
}

#[test]
fn mistakes_on_the_command_line_are_one_line_each() {
    let folder = initialised();
    let mut authority = fs::File::create(folder.path().join("other.pem")).unwrap();
    authority.write_all(Authority::new("other").pem().as_bytes()).unwrap();
    fs::copy(folder.path().join("certs/alex.key"), folder.path().join("other.key")).unwrap();
    let cases: &[(&[&str], i32, &str)] = &[
        (&[], 64, "requires a subcommand but one was not provided [subcommands: init, ca, server"),
        (&["frobnicate"], 64, "unrecognized subcommand 'frobnicate'; see echo-alex-certs --help"),
        (&["init", "alex.local"], 64, "unexpected argument 'alex.local' found"),
        (&["init", "--name", "a b"], 64, "\"a b\" is neither a host name"),
        (&["show"], 64, "required arguments were not provided: <FILE>..."),
        (&["show", "--days", "3", "x"], 64, "unexpected argument '--days' found"),
        (&["show", "missing.crt"], 66, "cannot read the certificate missing.crt: no such file"),
        (&["show", "certs/alex.key"], 78, "it holds a key"),
        (&["verify"], 64, "required arguments were not provided: <FILE>..."),
        (&["verify", "--frob", "x"], 64, "--frob"),
        (&["server"], 64, "server needs a NAME or --ip"),
        (&["server", "bücher.local"], 64, "neither a host name"),
        (&["server", "--ip", "10.0.0", "x"], 64, "10.0.0"),
        (&["server", "x", "--days", "0"], 64, "'--days <N>': 0 is not in 1..=36500"),
        (&["server", "x", "--file", "../x"], 64, "cannot be the name of a file in certs"),
        (&["server", "x", "--key-type", "dsa"], 64, "[possible values: ecdsa, ed25519]"),
        (&["server", "alex.local."], 64, "no dot at its end: write alex.local"),
        (&["init", "--name", "*.192.168.1.1"], 64, "192.168.1.1 is an address: give each"),
        (&["server", "*.local"], 64, "fewer than two labels after it: give each name separately"),
        (
            &["server", "--renew", "--key-type", "ecdsa"],
            64,
            "cannot be used with '--key-type <TYPE>'",
        ),
        (&["client", "laptop", "--renew", "--key-type=ed25519"], 64, "cannot be used with"),
        (&["server", "x", "--renew"], 66, "certs/x.key does not exist, so it cannot be kept"),
        (&["server", "x", "--ca", "missing.pem"], 66, "missing.pem"),
        (&["server", "x", "--ca", "certs/alex.crt"], 78, "CN=localhost is not a CA's"),
        (&["server", "x", "--ca", "other.pem"], 78, "other.key is not the key of other.pem"),
        (&["server", "x", "--dir", "other.pem", "--ca", "certs/signing.pem"], 1, "other.pem"),
        (&["client"], 64, "required arguments were not provided: <NAME>"),
        (&["client", "a\u{1b}b"], 64, "cannot be the name of a certificate"),
        (&["client", "a/b"], 64, "choose one with --file"),
        (&["client", "signing", "--force"], 64, "signing.key is the CA's"),
        (&["ca", "a", "b"], 64, "unexpected argument 'b' found"),
    ];
    for (arguments, expected, part) in cases {
        let (code, said) = refused(folder.path(), arguments);
        assert_eq!(code, *expected, "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: no {part:?} in {said}");
    }
    assert_eq!(listing(&folder.path().join("certs")).len(), 6, "and nothing was made");
}

#[test]
fn an_expired_ca_does_not_sign() {
    let folder = tempfile::tempdir().unwrap();
    let past = SystemTime::now() - 3 * DAY;
    let old = Workshop::ca("the old CA", |it| it.not_after = past.into());
    fs::create_dir(folder.path().join("certs")).unwrap();
    fs::write(folder.path().join("certs/signing.pem"), old.pem()).unwrap();
    fs::write(folder.path().join("certs/signing.key"), old.key().serialize_pem()).unwrap();
    let (code, said) = refused(folder.path(), &["server", "alex.local"]);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("the CA CN=the old CA expired on ") && said.contains("ca --force"));
    assert_eq!(listing(&folder.path().join("certs")).len(), 2);
}

#[test]
fn help_fits_a_screen() {
    let folder = tempfile::tempdir().unwrap();
    let commands = ["init", "ca", "server", "client", "show", "verify"];
    let of_commands = commands.iter().map(|command| vec![*command, "-h"]);
    for arguments in of_commands.chain([vec!["-h"], vec!["--help"]]) {
        let help = good(folder.path(), &arguments);
        assert!(help.lines().count() <= 24, "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }
    assert!(good(folder.path(), &["-V"]).starts_with("echo-alex-certs 0."));
}

#[test]
fn the_days_are_those_of_the_documents() {
    let folder = initialised();
    for (file, days) in [("certs/alex.crt", DAYS), ("certs/signing.pem", CA_DAYS)] {
        let shown = good(folder.path(), &["show", file]);
        let (begin, end) = property(&shown, "valid").split_once(" to ").unwrap();
        let [begin, end] = [begin, end].map(|it| humantime::parse_rfc3339(it).unwrap());
        // The validity begins a day early.
        assert_eq!(end.duration_since(begin).unwrap(), DAY * (days + 1), "{file}");
    }
    let said = format!("The CA is valid for {CA_DAYS} days");
    assert!(good(folder.path(), &["init", "--help"]).contains(&said));
    let document =
        |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    assert_eq!(DAYS, 365, "the documents say a year");
    for page in ["docs/install.md", "docs/certificates.md"] {
        assert!(document(page).contains("A certificate is valid for one year."), "{page}");
    }
    let text = document("certs/README.md");
    let days: Vec<&str> =
        text.split("-days ").skip(1).map(|it| &it[..it.find(' ').unwrap()]).collect();
    assert_eq!(days, [CA_DAYS, DAYS, DAYS].map(|days| days.to_string()));
}
