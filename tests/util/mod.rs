//! What the tests of the real binary share: a daemon on ports of its own, certificates made for
//! the run, a TLS client, programs from outside.
//!
//! Nothing here sleeps to wait for something: the daemon is ready when it says so, and a log line
//! has come when it was read. Every wait has an end ([`PATIENCE`]), so a fault fails a test instead
//! of hanging it.
#![allow(dead_code, unreachable_pub)] // Each test file uses its part.

pub mod client;
pub mod documents;
pub mod options;

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SignatureAlgorithm,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Resource, Rlimit, Signal};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use socket2::SockRef;

/// How long anything may take before a test fails. Generous: the machine may be busy, or emulated.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A plain listener on a port that the system chooses.
pub const PLAIN: &str = "
[[listener]]
name = \"plain\"
listen = \"127.0.0.1:0\"
";

/// The path of the daemon under test.
pub fn program() -> &'static str {
    env!("CARGO_BIN_EXE_echo-alex")
}

/// Copies a program so that it can be run at once. Were it written by this process, a child that
/// another thread has just forked could still have it open for writing, and execve(2) would answer
/// ETXTBSY.
pub fn copy_program(from: &str, to: &Path) {
    let status = Command::new("cp").arg(from).arg(to).status().unwrap();
    assert!(status.success(), "cp {from} {}", to.display());
}

/// Whether an emulator may run the programs. On a Pi it does not, and what the tests do for it does no
/// harm.
pub const fn emulated() -> bool {
    cfg!(target_arch = "arm")
}

/// What an emulated program cannot do without in its environment: where its C library is.
pub fn emulator() -> Option<(&'static str, OsString)> {
    const FOLDER: &str = "QEMU_LD_PREFIX";
    let folder = std::env::var_os(FOLDER).filter(|_| emulated())?;
    Some((FOLDER, folder))
}

/// A running daemon in a folder of its own. It is killed when this is dropped.
pub struct Daemon {
    pub folder: tempfile::TempDir,
    pub child: Child,
    lines: Receiver<String>,
    /// Every log line that was read so far.
    seen: Arc<Mutex<Vec<String>>>,
    /// Messages to the service manager, read as they come: their queue is short (unix(7)).
    notifications: Receiver<String>,
}

impl Daemon {
    /// Starts one with this configuration and waits for READY=1.
    pub fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, config, |_| {})
    }

    /// The same in a folder that holds certificates already, with changes to the command.
    pub fn start_in(
        folder: tempfile::TempDir,
        config: &str,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let daemon = Self::launch_in(folder, config, change);
        let ready = daemon.wait_for_notification(|text| text.contains("READY=1"));
        assert!(ready.contains("STATUS="), "{ready}");
        daemon
    }

    /// Starts one and waits for nothing.
    pub fn launch_in(
        folder: tempfile::TempDir,
        config: &str,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let notify = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        fs::write(folder.path().join("echo-alex.toml"), config).unwrap();
        let mut command = Command::new(program());
        command
            .arg("--config")
            .arg(folder.path().join("echo-alex.toml"))
            .env("NOTIFY_SOCKET", folder.path().join("notify"))
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { folder, child, lines, seen: Arc::default(), notifications: messages(notify) }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The path of a file in the daemon's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Overwrites the configuration file; SIGHUP makes it count.
    pub fn rewrite_config(&self, config: &str) {
        fs::write(self.path("echo-alex.toml"), config).unwrap();
    }

    /// Where the listener called `name` listens, as the log says.
    pub fn address(&self, name: &str) -> SocketAddr {
        let line = self.wait_for_line(|line| {
            line.contains(" listening ") && line.contains(&format!("listener={name} "))
        });
        field(&line, "address").parse().unwrap()
    }

    /// A plain connection to the listener called `name`.
    pub fn connect(&self, name: &str) -> TcpStream {
        connect(self.address(name))
    }

    /// The first log line, of all so far and those to come, that fits.
    pub fn wait_for_line(&self, fits: impl Fn(&str) -> bool) -> String {
        if let Some(line) = self.seen.lock().unwrap().iter().find(|line| fits(line)) {
            return line.clone();
        }
        let end = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.lock().unwrap().push(line.clone());
                    if fits(&line) {
                        return line;
                    }
                }
                Err(error) => {
                    panic!("no such log line ({error}); the log so far: {:#?}", self.seen())
                }
            }
        }
    }

    /// Every log line so far; all of them once the daemon has ended.
    pub fn seen(&self) -> Vec<String> {
        let mut seen = self.seen.lock().unwrap();
        while let Ok(line) = self.lines.try_recv() {
            seen.push(line);
        }
        seen.clone()
    }

    /// The log to its end; the daemon must have been told to stop.
    pub fn whole_log(&self) -> Vec<String> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.lock().unwrap().push(line),
                Err(RecvTimeoutError::Disconnected) => return self.seen(),
                Err(RecvTimeoutError::Timeout) => panic!("the daemon does not end"),
            }
        }
    }

    /// The line that the log has for the end of a session from `peer`.
    pub fn session_line(&self, peer: SocketAddr) -> String {
        self.wait_for_line(|line| {
            line.contains(" session listener=") && line.contains(&format!("peer={peer} "))
        })
    }

    /// The next message to the service manager.
    pub fn notification(&self) -> String {
        self.notifications.recv_timeout(PATIENCE).expect("no message to the service manager")
    }

    /// The next message to the service manager that fits; others are passed over.
    pub fn wait_for_notification(&self, fits: impl Fn(&str) -> bool) -> String {
        loop {
            let text = self.notification();
            if fits(&text) {
                return text;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// SIGHUP, and waits until the reload is over; says how the log puts it.
    pub fn reload(&self) -> String {
        self.reload_by(|| self.signal(Signal::HUP)).1
    }

    /// The same for a SIGHUP that `ask` sends, with what `ask` gives.
    pub fn reload_by<T>(&self, ask: impl FnOnce() -> T) -> (T, String) {
        let before = self.seen().iter().filter(|line| is_reload(line)).count();
        let asked = ask();
        self.wait_for_notification(|text| text.contains("READY=1"));
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let mut reloads = self.seen().into_iter().filter(|line| is_reload(line));
            if let Some(line) = reloads.nth(before) {
                return (asked, line);
            }
            if let Ok(line) = self.lines.recv_timeout(Duration::from_millis(100)) {
                self.seen.lock().unwrap().push(line);
            }
        }
        panic!("no word of the reload in the log: {:#?}", self.seen());
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    /// How many descriptors the daemon has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// The daemon's resident memory in KiB, from /proc/PID/status.
    pub fn resident_kib(&self) -> usize {
        self.status_field("VmRSS:")
    }

    /// A number from /proc/PID/status.
    pub fn status_field(&self, key: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Processor time that the daemon has used, in clock ticks (1/100 s), from /proc/PID/stat.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

/// The messages that come to a socket, from a thread that reads them as they come and ends when
/// nobody wants them any more.
fn messages(socket: UnixDatagram) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length) = socket.recv(&mut buffer) {
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if sender.send(text).is_err() {
                break;
            }
        }
    });
    receiver
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_reload(line: &str) -> bool {
    line.contains(" reloaded") || line.contains(" not reloaded")
}

/// Waits for a child's end, but not for ever.
pub fn wait(child: &mut Child) -> ExitStatus {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < end, "the process does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs the daemon's program to its end: exit code, stdout, stderr.
pub fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(program()).args(arguments).output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// The value of `key=value` in a log line.
pub fn field<'a>(line: &'a str, key: &str) -> &'a str {
    let start = format!(" {key}=");
    let value = line.split_once(&start).unwrap_or_else(|| panic!("no {key}= in {line:?}")).1;
    value.split(' ').next().unwrap()
}

/// A connection with a time limit on each read and write.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends `bytes` and reads as many back, which must be the same.
pub fn assert_echo(stream: &mut (impl Read + Write), bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    stream.flush().unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == bytes, "the echo differs");
}

/// Sends all of `bytes` from a thread of its own, ends the writing half, and reads to the end:
/// what came back.
pub fn echo_all(stream: &TcpStream, bytes: &[u8]) -> Vec<u8> {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (&*stream).write_all(bytes).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        (&*stream).read_to_end(&mut back).unwrap();
        back
    })
}

/// Bytes that look random and are the same in each run.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64*, Marsaglia 2003.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A certificate authority, and the identities that it signs.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// One that is valid from and until so many days from now.
    pub fn dated(name: &str, from: i64, until: i64) -> Self {
        Self::with_key(name, KeyPair::generate().unwrap(), from, until)
    }

    /// One with this one's key: the same CA with new dates, if the name is the same.
    pub fn renewed(&self, name: &str, from: i64, until: i64) -> Self {
        let key = KeyPair::from_pem(&self.0.key().serialize_pem()).unwrap();
        Self::with_key(name, key, from, until)
    }

    fn with_key(name: &str, key: KeyPair, from: i64, until: i64) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = in_days(from).into();
        params.not_after = in_days(until).into();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Writes the CA's certificate to `folder`/`name`.
    pub fn write(&self, folder: &Path, name: &str) {
        fs::write(folder.join(name), self.0.pem()).unwrap();
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn key_pem(&self) -> String {
        self.0.key().serialize_pem()
    }

    /// Certificate and key in PEM, for a server at localhost, or a client.
    pub fn sign(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        self.sign_with(name, usage, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    pub fn sign_with(
        &self,
        name: &str,
        usage: ExtendedKeyUsagePurpose,
        algorithm: &'static SignatureAlgorithm,
    ) -> (String, String) {
        self.sign_changed(name, usage, algorithm, |_| {})
    }

    /// The same, valid from and until so many days from now.
    pub fn sign_dated(
        &self,
        name: &str,
        usage: ExtendedKeyUsagePurpose,
        from: i64,
        until: i64,
    ) -> (String, String) {
        self.sign_changed(name, usage, &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
            params.not_before = in_days(from).into();
            params.not_after = in_days(until).into();
        })
    }

    fn sign_changed(
        &self,
        name: &str,
        usage: ExtendedKeyUsagePurpose,
        algorithm: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(Into::into).to_vec();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        change(&mut params);
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// Writes `name`.crt and `name`.key for a server to `folder`.
    pub fn write_server(&self, folder: &Path, name: &str) {
        let (certificate, key) = self.sign(name, ExtendedKeyUsagePurpose::ServerAuth);
        write_identity(folder, name, &certificate, &key);
    }

    /// Writes `name`.crt and `name`.key for a client to `folder`.
    pub fn write_client(&self, folder: &Path, name: &str) {
        let (certificate, key) = self.sign(name, ExtendedKeyUsagePurpose::ClientAuth);
        write_identity(folder, name, &certificate, &key);
    }
}

/// The moment so many days from now.
pub fn in_days(days: i64) -> SystemTime {
    let time = Duration::from_secs(days.unsigned_abs() * 24 * 60 * 60);
    if days < 0 { SystemTime::now() - time } else { SystemTime::now() + time }
}

/// Writes `name`.crt, and `name`.key with the mode that a key should have.
pub fn write_identity(folder: &Path, name: &str, certificate: &str, key: &str) {
    use std::os::unix::fs::PermissionsExt;

    fs::write(folder.join(format!("{name}.crt")), certificate).unwrap();
    let path = folder.join(format!("{name}.key"));
    fs::write(&path, key).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A TLS listener that serves alex.crt and alex.key of the daemon's folder.
pub const TLS: &str = "
[[listener]]
name = \"tls\"
listen = \"127.0.0.1:0\"
[listener.tls]
certificate = \"alex.crt\"
key = \"alex.key\"
";

/// A folder with signing.pem, alex.crt and alex.key, laptop.crt and laptop.key.
pub fn folder_with_certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("test CA");
    authority.write(folder.path(), "signing.pem");
    authority.write_server(folder.path(), "alex");
    authority.write_client(folder.path(), "laptop");
    folder
}

/// A daemon with a plain and a TLS listener.
pub fn plain_and_tls() -> Daemon {
    Daemon::start_in(folder_with_certificates(), &format!("{PLAIN}{TLS}"), |_| {})
}

/// What a TLS client is to do.
#[derive(Clone, Default)]
pub struct TlsClient {
    /// Only this version.
    pub only: Option<&'static rustls::SupportedProtocolVersion>,
    /// Present `NAME.crt` and `NAME.key` of the folder.
    pub identity: Option<&'static str>,
    /// Only this cipher suite.
    pub suite: Option<rustls::CipherSuite>,
}

impl TlsClient {
    /// A configuration that trusts signing.pem of `folder`. Connections that share one can resume
    /// each other's sessions.
    pub fn config(&self, folder: &Path) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(folder.join("signing.pem")).unwrap();
        roots.add(ca).unwrap();
        let mut provider = rustls::crypto::ring::default_provider();
        if let Some(only) = self.suite {
            provider.cipher_suites.retain(|suite| suite.suite() == only);
        }
        let versions = self.only.map_or_else(|| rustls::ALL_VERSIONS.to_vec(), |only| vec![only]);
        let builder = ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(&versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match self.identity {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = CertificateDer::pem_file_iter(folder.join(format!("{name}.crt")))
                    .unwrap()
                    .map(Result::unwrap)
                    .collect();
                let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        Arc::new(config)
    }

    /// A session with the listener called `tls`, its handshake still to be done (the first read or
    /// write does it).
    pub fn connect(&self, daemon: &Daemon) -> StreamOwned<ClientConnection, TcpStream> {
        connect_tls(&self.config(daemon.folder.path()), daemon.address("tls"))
    }
}

/// A TLS session over a new connection, its handshake still to be done.
pub fn connect_tls(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(config.clone(), name).unwrap();
    StreamOwned::new(connection, connect(address))
}

/// A program from outside, if it is installed. Where it is not, that is said and the test is left
/// out, unless `ECHO_ALEX_REQUIRE_TOOLS` is set, as in CI.
pub fn tool(name: &str) -> Option<Command> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|path| path.join(name)).find(|p| p.is_file());
    if found.is_none() {
        assert!(std::env::var_os("ECHO_ALEX_REQUIRE_TOOLS").is_none(), "{name} is not installed");
        eprintln!("left out: {name} is not installed");
    }
    found.map(Command::new)
}

impl Authority {
    /// An authority whose own certificate this one has signed.
    pub fn intermediate(&self, name: &str) -> Self {
        self.intermediate_changed(name, |_| {})
    }

    /// The same, valid from and until so many days from now.
    pub fn intermediate_dated(&self, name: &str, from: i64, until: i64) -> Self {
        self.intermediate_changed(name, |params| {
            params.not_before = in_days(from).into();
            params.not_after = in_days(until).into();
        })
    }

    pub fn intermediate_changed(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::signed_by(params, key, &self.0).unwrap())
    }

    /// A server's certificate in PEM for a key that was made elsewhere (PEM, PKCS#8).
    pub fn certify(&self, key: &str) -> String {
        let names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(Into::into).to_vec();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::from_pem(key).unwrap();
        params.signed_by(&key, &self.0).unwrap().pem()
    }
}

/// A TLS session of a test.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// Sends all of `bytes` over a TLS session and reads at the same time, says `close_notify`, and
/// reads up to the peer's: what came back. The socket stays open, and blocking.
pub fn echo_all_tls(stream: &mut TlsStream, bytes: &[u8]) -> Vec<u8> {
    let StreamOwned { conn, sock } = stream;
    sock.set_nonblocking(true).unwrap();
    let (mut unsent, mut said_all, mut back) = (bytes, false, Vec::new());
    loop {
        if !unsent.is_empty() {
            let taken = conn.writer().write(unsent).unwrap();
            unsent = &unsent[taken..];
        } else if !said_all {
            conn.send_close_notify();
            said_all = true;
        }
        let interest =
            if conn.wants_write() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let ready = wait_for(sock, interest);
        if ready.contains(PollFlags::OUT) {
            conn.write_tls(sock).unwrap();
        }
        if !ready.contains(PollFlags::IN) {
            continue;
        }
        conn.read_tls(sock).unwrap();
        conn.process_new_packets().unwrap();
        match conn.reader().read_to_end(&mut back) {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}"),
        }
    }
    sock.set_nonblocking(false).unwrap();
    back
}

/// Ends a TLS session as it should end: `close_notify` from both sides.
pub fn end_tls(stream: &mut TlsStream) {
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
}

/// Waits until the socket is ready for any of `interest`: what for.
pub fn wait_for(socket: &TcpStream, interest: PollFlags) -> PollFlags {
    let mut wanted = [PollFd::new(socket, interest)];
    let patience = Timespec::try_from(PATIENCE).unwrap();
    assert!(poll(&mut wanted, Some(&patience)).unwrap() > 0, "the socket does not get ready");
    wanted[0].revents()
}

/// Sends the bytes of `source` until a write has blocked for [`STUCK`]: how many were taken.
pub fn send_until_stuck(stream: &TcpStream, source: impl Iterator<Item = Vec<u8>>) -> usize {
    stream.set_write_timeout(Some(STUCK)).unwrap();
    let mut sent = 0;
    'sending: for piece in source {
        let mut unsent = piece.as_slice();
        while !unsent.is_empty() {
            match (&*stream).write(unsent) {
                Ok(taken) => {
                    sent += taken;
                    unsent = &unsent[taken..];
                }
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
                    break 'sending;
                }
            }
        }
    }
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    sent
}

/// How long a write must block until nobody seems to read.
pub const STUCK: Duration = Duration::from_millis(300);

/// A program from outside at work, its standard input and output in pipes. It is killed when this
/// is dropped.
pub struct Running {
    pub child: Child,
    output: Receiver<Vec<u8>>,
    unread: Vec<u8>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, output, unread: Vec::new() }
    }

    /// Writes to its standard input, from a thread of its own: it may not read before its output
    /// is read.
    pub fn feed(&mut self, bytes: Vec<u8>) {
        let mut stdin = self.child.stdin.take().expect("it is fed already");
        std::thread::spawn(move || {
            // It may have ended; then its output tells.
            let _ = stdin.write_all(&bytes);
        });
    }

    /// Writes to its standard input, which stays open.
    pub fn say(&mut self, bytes: &[u8]) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    /// Reads its standard output up to this length.
    pub fn read(&mut self, length: usize) -> Vec<u8> {
        self.read_until(|read| (read.len() >= length).then_some(length))
    }

    /// Reads its standard output up to and with `end`.
    pub fn read_to(&mut self, end: &str) -> String {
        let bytes = self.read_until(|read| {
            let found = read.windows(end.len()).position(|window| window == end.as_bytes());
            found.map(|start| start + end.len())
        });
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn read_until(&mut self, enough: impl Fn(&[u8]) -> Option<usize>) -> Vec<u8> {
        loop {
            if let Some(length) = enough(&self.unread) {
                return self.unread.drain(..length).collect();
            }
            match self.output.recv_timeout(PATIENCE) {
                Ok(bytes) => self.unread.extend(bytes),
                Err(error) => {
                    let so_far = &self.unread[..self.unread.len().min(4096)];
                    panic!("{error}; so far: {:?}", String::from_utf8_lossy(so_far));
                }
            }
        }
    }

    /// Ends its standard input, and waits for its end.
    pub fn finish(&mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        wait(&mut self.child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    /// SIGUSR1, and the statistics line for the daemon as a whole that it asks for.
    pub fn statistics(&self) -> String {
        let is_it = |line: &str| line.contains(" statistics uptime=");
        let before = self.seen().iter().filter(|line| is_it(line)).count();
        self.signal(Signal::USR1);
        self.wait_for_nth_line(before, is_it)
    }

    /// A plain session that is full both ways: the daemon has bytes for it that it cannot send.
    pub fn stuck(&self, name: &str) -> TcpStream {
        let stream = self.connect(name);
        stream.set_nonblocking(true).unwrap();
        let chunk = noise(64 * 1024, 1);
        let mut last = Instant::now();
        // The daemon reads as long as it can write; full is when nothing has gone out for a while.
        while last.elapsed() < Duration::from_millis(300) {
            if (&stream).write(&chunk).is_ok_and(|sent| sent > 0) {
                last = Instant::now();
            } else {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        stream.set_nonblocking(false).unwrap();
        stream
    }

    /// The log line that fits and has `before` others that fit ahead of it.
    pub fn wait_for_nth_line(&self, before: usize, fits: impl Fn(&str) -> bool) -> String {
        let all = || self.seen().into_iter().filter(|line| fits(line)).collect::<Vec<_>>();
        wait_until("another such log line", || all().len() > before);
        all().swap_remove(before)
    }
}

/// Looks again and again until something outside is so that gives no word of it by itself.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "it did not come to {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Everything up to a clean end (plain: FIN; TLS: `close_notify`, its absence is an error).
pub fn read_to_end(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("no clean end");
    bytes
}

/// What `openssl` and the like make of their arguments; a failure of theirs fails the test.
pub fn outcome(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {words}");
    String::from_utf8(output.stdout).unwrap()
}

impl Daemon {
    /// Starts one through `sh -c SCRIPT`, which must end in `exec "$@"`, and waits for READY=1.
    pub fn start_through(folder: tempfile::TempDir, config: &str, script: &str) -> Self {
        let daemon = Self::launch_through(folder, config, script);
        daemon.wait_for_notification(|text| text.contains("READY=1"));
        daemon
    }

    /// The same, and waits for nothing.
    pub fn launch_through(folder: tempfile::TempDir, config: &str, script: &str) -> Self {
        let file = folder.path().join("echo-alex.toml");
        let notify = folder.path().join("notify");
        Self::launch_in(folder, config, |command| {
            *command = Command::new("sh");
            command
                .args(["-c", script, "sh", program(), "--config"])
                .arg(file)
                .env("NOTIFY_SOCKET", notify)
                .env_remove("JOURNAL_STREAM")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped());
        })
    }

    /// The messages to the service manager that have come and were not read yet.
    pub fn notifications_so_far(&self) -> Vec<String> {
        // Messages keep their order, so what was sent before this mark has come before it.
        let mark = UnixDatagram::unbound().unwrap();
        mark.send_to(b"MARK", self.path("notify")).unwrap();
        let mut all = Vec::new();
        loop {
            match self.notifications.recv_timeout(PATIENCE).unwrap() {
                text if text == "MARK" => return all,
                text => all.push(text),
            }
        }
    }
}

/// More than a daemon accepts before it looks at its signals, and limits that let them in.
pub const CROWD: usize = 300;
pub const ROOM_FOR_A_CROWD: &str = "[limits]\nmax-sessions-per-address = 1000\n";

impl Daemon {
    /// Stops this daemon's process, and lets a crowd come to `address` and send `bytes`: they are
    /// connected as far as they know. They wait for `signal`, and then for the daemon to go on.
    pub fn crowd_before(
        &self,
        signal: Signal,
        address: SocketAddr,
        bytes: &[u8],
    ) -> Vec<TcpStream> {
        self.signal(Signal::STOP);
        let mut crowd: Vec<TcpStream> = (0..CROWD).map(|_| connect(address)).collect();
        for stream in &mut crowd {
            stream.write_all(bytes).unwrap();
        }
        self.signal(signal);
        self.signal(Signal::CONT);
        crowd
    }
}

/// What an attack must leave as it was.
pub struct State {
    pub descriptors: usize,
    sessions: String,
    /// In the log, but for the statistics, which are asked for.
    lines: usize,
}

impl Daemon {
    /// How it is now, when nobody is at it.
    pub fn state(&self) -> State {
        let sessions = field(&self.statistics(), "sessions").to_owned();
        let seen = self.seen();
        let lines = seen.iter().filter(|line| !line.contains(" statistics ")).count();
        State { descriptors: self.descriptors(), sessions, lines }
    }

    /// It echoes at once, has not a descriptor or session more than before, and has written a line for
    /// each of so many sessions at most.
    pub fn assert_unharmed_since(&self, before: &State, sessions: usize) {
        assert_echo(&mut self.connect("plain"), b"all is well");
        let mut tls = TlsClient::default().connect(self);
        assert_echo(&mut tls, b"all is well");
        end_tls(&mut tls);
        drop(tls);
        let all_gone = || self.descriptors() == before.descriptors;
        wait_until("as few descriptors as before", all_gone);
        let after = self.state();
        assert_eq!(after.sessions, before.sessions);
        // One for each session, the two echoes among them, and a word or two on the daemon's state.
        let said = after.lines - before.lines;
        assert!(said <= sessions + 5, "{said} lines in the log for {sessions} sessions");
    }
}

/// Everything up to the end, however it comes.
pub fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => bytes,
    }
}

/// Closes with a reset (socket(7), `SO_LINGER`).
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// A client that has not said anything yet.
pub fn client(daemon: &Daemon) -> ClientConnection {
    let config = TlsClient::default().config(daemon.folder.path());
    ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap()
}

/// What `connection` has to say now.
pub fn flight(connection: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// A session past its handshake, and one echo.
pub fn established(daemon: &Daemon, client: &TlsClient) -> TlsStream {
    let mut stream = client.connect(daemon);
    assert_echo(&mut stream, b"hello");
    stream
}

/// Waits until the start is over: READY=1 goes out through a descriptor of its own.
pub fn settle(daemon: &Daemon) {
    daemon.statistics();
}

/// Lets the daemon open this many descriptors more. The limit is one on their numbers, and there
/// may be free ones between those that are open.
pub fn leave(daemon: &Daemon, more: usize) {
    settle(daemon);
    let folder = format!("/proc/{}/fd", daemon.pid());
    let open: Vec<u64> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    let mut free = (0..).filter(|number| !open.contains(number));
    let limit = Rlimit { current: free.nth(more), maximum: Some(10_000) };
    rustix::process::prlimit(Some(Pid::from_child(&daemon.child)), Resource::Nofile, limit)
        .unwrap();
}
