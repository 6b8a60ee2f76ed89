//! A client and an echo server of rustls with AWS-LC, for the key exchange X25519MLKEM768 and no other.
//!
//! Usage: `echo-alex-conformance-aws-lc client PORT CA` or `… server CERTIFICATE KEY`

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection,
    StreamOwned,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["client", port, ca] => client(port.parse()?, ca),
        ["server", certificate, key] => server(certificate, key),
        _ => Err("arguments: client PORT CA, or server CERTIFICATE KEY".into()),
    }
}

fn provider() -> Arc<CryptoProvider> {
    let kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
    Arc::new(CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() })
}

/// Two sessions with an echo of 100 KB each. The second one resumes the first.
fn client(port: u16, ca: &str) -> Result<(), Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    let sent: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let connection = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
        let mut stream = StreamOwned::new(connection, connect(port)?);
        let mut came = vec![0; sent.len()];
        for (out, back) in sent.chunks(10_000).zip(came.chunks_mut(10_000)) {
            stream.write_all(out)?;
            stream.read_exact(back)?;
        }
        assert!(came == sent, "the echo differs");
        assert_eq!(stream.conn.handshake_kind(), Some(kind));
        stream.conn.send_close_notify();
        stream.flush()?;
        assert_eq!(stream.read(&mut [0])?, 0, "more than the echo came");
    }
    Ok(())
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(socket)
}

/// Prints its port, and echoes one session after the other.
fn server(certificate: &str, key: &str) -> Result<(), Box<dyn Error>> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let mut stream =
            StreamOwned::new(ServerConnection::new(config.clone())?, listener.accept()?.0);
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            stream.write_all(&buffer[..count])?;
        }
        stream.conn.send_close_notify();
        stream.flush()?;
    }
}
