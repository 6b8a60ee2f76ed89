//! What the tests of the client share: running it, and servers that do what no good server does.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::Arc;

use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, Signal};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use socket2::{Domain, Socket, Type};

pub fn client() -> Command {
    Command::new(env!("CARGO_BIN_EXE_echo-alex-client"))
}

/// Starts the client with pipes in place of its standard streams.
pub fn start(arguments: &[&str]) -> Child {
    let mut command = client();
    command.args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs the client with `input`, to its end.
pub fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = start(arguments);
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A client that ends early closes the pipe.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    })
}

/// The exit code, and standard error.
pub fn end(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), stderr(output))
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn port(address: SocketAddr) -> String {
    address.port().to_string()
}

/// A server that takes one connection and does this with it.
pub fn server(serve: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = port(listener.local_addr().unwrap());
    std::thread::spawn(move || serve(listener.accept().unwrap().0));
    port
}

/// A server that does this with each connection, at the same time.
pub fn server_of_many(serve: fn(TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = port(listener.local_addr().unwrap());
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            std::thread::spawn(move || serve(stream));
        }
    });
    port
}

/// The configuration of a TLS server called localhost, whose CA nobody trusts.
pub fn untrusted_server() -> ServerConfig {
    let authority = super::Authority::new("a CA of the test");
    let (certificate, key) =
        authority.sign("localhost", rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap()
}

/// A TLS server that takes any number of connections, sends `early` with the last message of its
/// handshake, echoes what comes, and ends with `close_notify` or without.
pub fn tls_server(early: &'static [u8], close_notify: bool) -> String {
    let mut config = untrusted_server();
    config.send_half_rtt_data = true;
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = port(listener.local_addr().unwrap());
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            std::thread::spawn(move || serve_tls(connection, stream, early, close_notify));
        }
    });
    port
}

fn serve_tls(
    mut connection: ServerConnection,
    mut stream: TcpStream,
    early: &[u8],
    close_notify: bool,
) -> Option<()> {
    connection.writer().write_all(early).ok()?;
    let mut bytes = [0; 16 * 1024];
    loop {
        while connection.wants_write() {
            connection.write_tls(&mut stream).ok()?;
        }
        match connection.reader().read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => connection.writer().write_all(&bytes[..count]).ok()?,
            Err(_) => {
                if connection.read_tls(&mut stream).ok()? == 0 {
                    break;
                }
                connection.process_new_packets().ok()?;
            }
        }
    }
    if close_notify {
        connection.send_close_notify();
        connection.write_tls(&mut stream).ok()?;
    }
    stream.shutdown(std::net::Shutdown::Write).ok()
}

/// A port where a connection is neither accepted nor refused, as long as this is held: its queue is
/// full, and the kernel drops what more comes (listen(2)).
pub fn silent() -> (Socket, Vec<TcpStream>, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, super::STUCK) {
        queue.push(stream);
    }
    (socket, queue, address)
}

/// A pipe that is full, so that a write to it blocks.
pub fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    ioctl_fionbio(&writer, true).unwrap();
    for size in [4096, 1] {
        while writer.write(&vec![b'.'; size]).is_ok() {}
    }
    ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

/// A running client. Lines of its standard error are read once.
pub struct Client {
    pub child: Child,
    stderr: Option<BufReader<ChildStderr>>,
}

impl Client {
    /// Starts it with what `change` makes of its streams, which are null otherwise.
    pub fn start(arguments: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let mut command = client();
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().map(BufReader::new);
        Self { child, stderr }
    }

    /// Waits for a line on standard error that has these words.
    pub fn wait_for(&mut self, words: &str) {
        let stderr = self.stderr.as_mut().unwrap();
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert!(
                stderr.read_line(&mut line).unwrap() > 0,
                "it ended without printing {words:?}"
            );
        }
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end: the exit code, or the negative number of the signal.
    pub fn end(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let status = super::wait(&mut self.child);
        status.code().unwrap_or_else(|| -status.signal().unwrap())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
