//! The echo server of tokio over tokio-rustls, with ring and session tickets.

use std::env;
use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

#[path = "raise.rs"]
mod raise;

fn main() -> Result<(), Box<dyn Error>> {
    raise::descriptor_limit();
    let mut arguments = env::args().skip(1);
    let port = arguments.next().expect("PORT").parse()?;
    let chain = CertificateDer::pem_file_iter(arguments.next().expect("CERT"))?;
    let chain = chain.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(arguments.next().expect("KEY"))?;
    let mut config = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.ticketer = Ticketer::new()?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    Ok(runtime.block_on(async { tokio::spawn(accept(port, acceptor)).await? })?)
}

async fn accept(port: u16, acceptor: TlsAcceptor) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(echo(stream, acceptor.clone()));
    }
}

async fn echo(stream: TcpStream, acceptor: TlsAcceptor) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..count]).await?;
        stream.flush().await?;
    }
}
