//! Questions to the kernel by netlink(7), each with one answer. The kernel answers while it is asked, so
//! nothing waits for it, and needs no privilege.

use std::io;

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

/// Types of messages: an error, and the end of a list.
const NLMSG_ERROR: u16 = 2;
pub(super) const NLMSG_DONE: u16 = 3;

/// The protocol of questions about interfaces and routes (`NETLINK_ROUTE`): rustix says that it is none.
pub(super) const ROUTE: Option<Protocol> = None;

/// Flags of a question: it is about one thing, or about all that fit (`NLM_F_DUMP`).
pub(super) const ONE: u16 = 0x001;
pub(super) const ALL: u16 = 0x301;

/// The header of a message: its length, its type, flags, sequence number, port.
pub(super) const HEADER: usize = 16;

/// The longest answer that is read. Those that are asked for here take 2 KB.
const ANSWER_MAX: usize = 4096;

/// A question of this type.
pub(super) fn question(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    let length = u32::try_from(HEADER + body.len()).unwrap_or_default();
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // Neither sequence number nor port matter.
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

/// An attribute of a question.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(ATTRIBUTE + value.len()).unwrap_or_default();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Puts the question, and gives the answer.
pub(super) fn ask(protocol: Option<Protocol>, question: &[u8]) -> io::Result<Vec<u8>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)?;
    send(&socket, question, SendFlags::DONTWAIT)?;
    let mut answer = vec![0; ANSWER_MAX];
    let (length, _) = recv(&socket, &mut answer, RecvFlags::DONTWAIT)?;
    answer.truncate(length);
    Ok(answer)
}

/// The type of a message.
pub(super) fn message_type(message: &[u8]) -> Option<u16> {
    number(message, 4).map(u16::from_ne_bytes)
}

/// The outcome in a message that ends a list or reports an error: 0, or the negative number of an error.
pub(super) fn code(message: &[u8]) -> Option<i32> {
    let has_code = matches!(message_type(message), Some(NLMSG_ERROR | NLMSG_DONE));
    number(message, HEADER).map(i32::from_ne_bytes).filter(|_| has_code)
}

/// The `N` bytes at `offset`.
pub(super) fn number<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// The text in front of the first zero.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}

/// The header of an attribute: its length and its type.
const ATTRIBUTE: usize = 4;

/// The attributes of a message (`struct rtattr`), each with its type and its value.
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(number(self.0, 0).map(u16::from_ne_bytes)?);
        let kind = number(self.0, 2).map(u16::from_ne_bytes)?;
        let value = self.0.get(ATTRIBUTE..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}
