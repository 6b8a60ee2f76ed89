//! The textbook echo server with mio: a read buffer for each client, reads until `WouldBlock`, and
//! registers again to wait until it can write.

use std::env;
use std::io::{self, ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;

#[path = "raise.rs"]
mod raise;

const LISTENER: Token = Token(usize::MAX);

struct Client {
    stream: TcpStream,
    buffer: Box<[u8]>,
    /// Bytes that were read and not yet written.
    rest: std::ops::Range<usize>,
}

fn main() -> io::Result<()> {
    raise::descriptor_limit();
    let port = env::args().nth(1).expect("PORT").parse::<u16>().expect("PORT");
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(([127, 0, 0, 1], port).into())?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut clients = Slab::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &mut clients, poll.registry())?;
            } else if let Some(client) = clients.get_mut(event.token().0) {
                let ended = client.echo(event.token(), poll.registry());
                if !matches!(ended, Err(error) if error.kind() == ErrorKind::WouldBlock) {
                    clients.remove(event.token().0);
                }
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    clients: &mut Slab<Client>,
    registry: &Registry,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        let entry = clients.vacant_entry();
        registry.register(&mut stream, Token(entry.key()), Interest::READABLE)?;
        entry.insert(Client { stream, buffer: vec![0; 4096].into_boxed_slice(), rest: 0..0 });
    }
}

impl Client {
    /// Returns `Ok` when the peer has closed, or the error that stopped it. `WouldBlock` means to wait.
    fn echo(&mut self, token: Token, registry: &Registry) -> io::Result<()> {
        let waited_for_room = !self.rest.is_empty();
        loop {
            while !self.rest.is_empty() {
                match self.stream.write(&self.buffer[self.rest.clone()]) {
                    Ok(count) => self.rest.start += count,
                    Err(error) => {
                        if error.kind() == ErrorKind::WouldBlock && !waited_for_room {
                            registry.reregister(&mut self.stream, token, Interest::WRITABLE)?;
                        }
                        return Err(error);
                    }
                }
            }
            match self.stream.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => self.rest = 0..count,
                Err(error) => {
                    if error.kind() == ErrorKind::WouldBlock && waited_for_room {
                        registry.reregister(&mut self.stream, token, Interest::READABLE)?;
                    }
                    return Err(error);
                }
            }
        }
    }
}
