//! A socket with its transport and its outbox, for both sides of a session. The owner of a link decides
//! what the bytes are used for and when the session ends.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use crate::os::tcp_info::TcpInfo;
use crate::wire::buffers::{Buffers, Outbox, READ_SIZE, Scratch, would_block};
use crate::wire::close::CloseReason;
use crate::wire::transport::Transport;

/// A connected socket: non-blocking, and able to end its writing half.
pub trait Wire: Read + Write {
    /// Sends the FIN; reading goes on (shutdown(2), `SHUT_WR`).
    fn end_writing(&self) -> io::Result<()>;

    /// Its own address, if it is known.
    fn local_address(&self) -> Option<SocketAddr> {
        None
    }

    /// What the kernel knows of the connection, if it is there and the kernel tells.
    fn tcp_info(&self) -> Option<TcpInfo> {
        None
    }
}

impl Wire for mio::net::TcpStream {
    fn end_writing(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn local_address(&self) -> Option<SocketAddr> {
        self.local_addr().ok()
    }

    fn tcp_info(&self) -> Option<TcpInfo> {
        TcpInfo::of(self.local_addr().ok()?, self.peer_addr().ok()?)
    }
}

/// A socket with its transport.
pub struct Link<W> {
    wire: W,
    /// The peer's FIN was read. It is kept here because it takes no room beside a descriptor.
    ended: bool,
    transport: Transport,
    outbox: Outbox,
}

/// The result of one read.
#[derive(Debug)]
pub enum Reading {
    /// Bytes in the scratch buffer, to be opened.
    Bytes(Bytes),
    /// The peer's FIN.
    Ended,
    /// Nothing yet.
    Nothing,
}

/// The contents of the scratch buffer after a read: the held bytes, then the bytes that were read.
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    held: usize,
    count: usize,
}

impl Bytes {
    /// Whether the kernel returned less than was asked for, and so has no more.
    pub fn is_short(&self) -> bool {
        self.count < READ_SIZE
    }

    /// The bytes themselves.
    pub fn of(self, buffers: &Buffers) -> &[u8] {
        buffers.wire.get(..self.held + self.count).unwrap_or_default()
    }
}

impl<W: Wire> Link<W> {
    /// A link over `wire`.
    pub fn new(wire: W, transport: Transport) -> Self {
        Self { wire, ended: false, transport, outbox: Outbox::default() }
    }

    /// Reads once into the scratch buffer, after the bytes that the transport holds.
    #[inline(always)]
    pub fn read(&mut self, buffers: &mut Buffers) -> io::Result<Reading> {
        let held = self.transport.restore(&mut buffers.wire[..]);
        match self.wire.read(&mut buffers.wire[held..held + READ_SIZE]) {
            Ok(0) => {
                self.ended = true;
                Ok(Reading::Ended)
            }
            Ok(count) => Ok(Reading::Bytes(Bytes { held, count })),
            Err(error) => would_block(error).map(|()| Reading::Nothing),
        }
    }

    /// Puts bytes that were read earlier back into the scratch buffer, as if they had been read now. The transport
    /// has not seen any.
    pub fn put_back(bytes: &[u8], buffers: &mut Buffers) -> Bytes {
        let count = bytes.len().min(buffers.wire.len());
        buffers.wire[..count].copy_from_slice(&bytes[..count]);
        Bytes { held: 0, count }
    }

    /// Opens what was read, and sends the messages of TLS itself and then what `answer` returns for the
    /// plaintext. If opening fails, sends the alert.
    #[inline(always)]
    pub fn receive<'a>(
        &mut self,
        bytes: Bytes,
        buffers: &'a mut Buffers,
        answer: impl FnOnce(&'a [u8]) -> &'a [u8],
    ) -> Result<&'a [u8], CloseReason> {
        let Buffers { wire, plain, sealed, .. } = buffers;
        let came = &mut wire[..bytes.held + bytes.count];
        match self.transport.open(came, plain, sealed) {
            Ok(plaintext) => {
                let bytes = self.transport.seal(answer(plaintext), sealed)?;
                self.outbox.send(&mut self.wire, bytes)?;
                Ok(plaintext)
            }
            Err(reason) => Err(self.alert(reason, sealed)),
        }
    }

    /// Sends the alert for `reason`. Returns the reason, or why the alert could not be sent.
    #[cold]
    fn alert(&mut self, reason: CloseReason, sealed: &Scratch) -> CloseReason {
        match self.outbox.send(&mut self.wire, sealed.filled()) {
            Ok(()) => reason,
            Err(error) => error.into(),
        }
    }

    /// Seals and sends `plaintext`. What the kernel does not take waits in the outbox.
    pub fn send(&mut self, plaintext: &[u8], buffers: &mut Buffers) -> Result<(), CloseReason> {
        buffers.sealed.clear();
        let bytes = self.transport.seal(plaintext, &mut buffers.sealed)?;
        Ok(self.outbox.send(&mut self.wire, bytes)?)
    }

    /// Starts the handshake, on the client's side; does nothing for plain TCP.
    pub fn greet(&mut self, buffers: &mut Buffers) -> Result<(), CloseReason> {
        self.receive(Bytes { held: 0, count: 0 }, buffers, |_| &[]).map(drop)
    }

    /// Sends `close_notify`; does nothing for plain TCP, where the FIN is the end.
    pub fn finish(&mut self, buffers: &mut Buffers) -> Result<(), CloseReason> {
        buffers.sealed.clear();
        self.transport.finish(&mut buffers.sealed)?;
        Ok(self.outbox.send(&mut self.wire, buffers.sealed.filled())?)
    }

    /// Ends our side as far as the kernel takes it now: `close_notify`, then the FIN.
    pub fn goodbye(&mut self, buffers: &mut Buffers) {
        if self.finish(buffers).is_ok() {
            let _ = self.end_writing();
        }
    }

    /// Sends what is in the outbox. Returns whether the kernel took any of it.
    pub fn flush(&mut self) -> io::Result<bool> {
        self.outbox.flush(&mut self.wire)
    }

    /// Sends the FIN.
    pub fn end_writing(&self) -> io::Result<()> {
        self.wire.end_writing()
    }

    /// Its own address.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.wire.local_address()
    }

    /// What the kernel knows of the connection.
    pub fn tcp_info(&self) -> Option<TcpInfo> {
        self.wire.tcp_info()
    }

    /// Whether the peer's FIN was read.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether the outbox is empty.
    pub fn is_flushed(&self) -> bool {
        self.outbox.is_empty()
    }

    /// The number of wire bytes in the outbox.
    pub fn unsent(&self) -> usize {
        self.outbox.len()
    }

    /// Its transport.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The socket, to be registered.
    pub fn wire(&mut self) -> &mut W {
        &mut self.wire
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;
    use crate::os::tcp_info;
    use crate::tls::client;

    /// The most time that a packet takes on loopback, on a busy machine too.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// Takes all bytes, and has nothing to read.
    #[derive(Default)]
    struct FakeWire {
        written: Vec<u8>,
        ended: std::cell::Cell<bool>,
    }

    impl Read for FakeWire {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    impl Write for FakeWire {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(!self.ended.get(), "bytes behind the FIN");
            self.written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Wire for FakeWire {
        fn end_writing(&self) -> io::Result<()> {
            self.ended.set(true);
            Ok(())
        }
    }

    #[test]
    fn a_socket_that_ends_its_writing_sends_a_fin_and_still_reads() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = listener.accept().unwrap();
        let mut reader = socket.try_clone().unwrap();
        reader.set_read_timeout(Some(PATIENCE)).unwrap();
        // Whether the socket blocks makes no difference to the FIN.
        let link = Link::new(mio::net::TcpStream::from_std(socket), Transport::Plain);
        link.end_writing().unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        peer.write_all(b"x").unwrap();
        assert_eq!(reader.read(&mut [0]).unwrap(), 1);
    }

    #[test]
    fn a_link_knows_the_address_of_its_socket_and_what_the_kernel_knows() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        (&peer).write_all(b"hello").unwrap();
        socket.peek(&mut [0]).unwrap();
        let link = Link::new(mio::net::TcpStream::from_std(socket), Transport::Plain);
        assert_eq!(link.local_address(), listener.local_addr().ok());
        let told = link.tcp_info().map(|info| info.bytes_received);
        assert_eq!(told, tcp_info::is_available().then_some(Some(5)));
        let link = Link::new(FakeWire::default(), Transport::Plain);
        assert_eq!((link.local_address(), link.tcp_info()), (None, None));
    }

    #[test]
    fn bytes_are_what_was_held_and_what_was_read() {
        let mut buffers = Buffers::new();
        buffers.wire[..5].copy_from_slice(b"hello");
        let bytes = |held, count| Bytes { held, count };
        assert_eq!(bytes(2, 3).of(&buffers), b"hello");
        assert_eq!(bytes(0, 4).of(&buffers), b"hell");
        assert_eq!(bytes(usize::MAX - 1, 1).of(&buffers), b"", "beyond the buffer");
    }

    #[test]
    fn a_plain_link_sends_bytes_as_they_are_and_its_goodbye_is_the_fin() {
        let mut buffers = Buffers::new();
        let mut link = Link::new(FakeWire::default(), Transport::Plain);
        link.greet(&mut buffers).unwrap();
        assert_eq!(link.wire().written, b"");
        link.send(b"hello", &mut buffers).unwrap();
        assert_eq!(link.wire().written, b"hello");
        assert!(!link.wire().ended.get());
        link.goodbye(&mut buffers);
        assert!(link.wire().ended.get());
        assert_eq!(link.wire().written, b"hello");
    }

    #[test]
    fn a_client_greets_with_its_client_hello() {
        let trust = client::Trust::Anything;
        let settings = client::Settings::new(trust);
        let config = client::client_config(&settings).unwrap().0;
        let name = client::server_name("localhost").unwrap();
        let mut link = Link::new(FakeWire::default(), Transport::tls_client(config, name).unwrap());
        link.greet(&mut Buffers::new()).unwrap();
        // A handshake record, and a ClientHello in it (RFC 8446 §4 and §5.1).
        let written = &link.wire().written;
        assert_eq!((written[0], written[5]), (22, 1));
    }
}
