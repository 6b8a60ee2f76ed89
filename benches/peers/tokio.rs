//! The echo server of tokio's documentation: a task for each client, on one thread.

use std::env;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[path = "raise.rs"]
mod raise;

fn main() -> io::Result<()> {
    raise::descriptor_limit();
    let port = env::args().nth(1).expect("PORT").parse::<u16>().expect("PORT");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    // As a task, because the root future is polled whenever the thread wakes up.
    runtime.block_on(async { tokio::spawn(accept(port)).await? })
}

async fn accept(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(echo(stream));
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..count]).await?;
    }
}
