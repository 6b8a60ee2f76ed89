//! The echo of a WebSocket (RFC 6455), the server's side.
//!
//! # No message is held
//!
//! What has come of a message goes back at once, as a fragment of its own. Between two reads, a session
//! holds the beginning of a frame header, the payload of a control frame, which has at most 125 bytes, and
//! up to three bytes of a character of text. So a message may be as long as it likes, and its echo
//! is under the same backpressure as any other.

use super::utf8::Utf8;

/// Close codes (RFC 6455 §7.4.1).
const GOING_AWAY: u16 = 1001;
const PROTOCOL_ERROR: u16 = 1002;
const NOT_TEXT: u16 = 1007;

/// The longest header of a frame: two bytes, eight of length, four of mask.
const HEADER_MAX: usize = 14;

/// The most payload of a control frame (RFC 6455 §5.5).
const CONTROL_MAX: u64 = 125;

/// Opcodes (RFC 6455 §5.2).
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Why the session ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The peer has sent a close frame, and got one.
    Closed,
    /// The peer violated the protocol, and got a close frame that says so.
    Failed(&'static str),
}

/// A violation of the protocol: the close code, and words for the log.
#[derive(Debug, PartialEq, Eq)]
struct Violation(u16, &'static str);

/// One session.
#[derive(Debug, Default)]
pub(super) struct WebSocket {
    /// The beginning of a frame's header.
    header: [u8; HEADER_MAX],
    header_length: usize,
    /// The frame whose payload is coming.
    frame: Option<Frame>,
    /// The opcode of the message whose frames are coming.
    message: Option<u8>,
    /// A fragment of the message has gone back.
    is_begun: bool,
    text: Utf8,
    /// The payload of a control frame, as far as it has come.
    control: Vec<u8>,
}

/// A frame, as its header says.
#[derive(Clone, Copy, Debug)]
struct Frame {
    is_last: bool,
    opcode: u8,
    /// How much of its payload is still to come.
    left: u64,
    mask: [u8; 4],
    /// How much has come, modulo 4.
    place: usize,
}

impl Frame {
    fn is_control(&self) -> bool {
        self.opcode >= CLOSE
    }

    /// Removes the mask from the next bytes of the payload.
    fn unmask(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte ^= self.mask[self.place];
            self.place = (self.place + 1) % 4;
        }
    }
}

impl WebSocket {
    /// Takes bytes of frames, and puts those that answer them behind `said`.
    pub(super) fn receive(&mut self, mut came: &[u8], said: &mut Vec<u8>) -> Option<End> {
        loop {
            match self.step(&mut came, said) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(Stop::Closed) => return Some(End::Closed),
                Err(Stop::Violation(Violation(code, why))) => {
                    header(true, CLOSE, 2, said);
                    said.extend_from_slice(&code.to_be_bytes());
                    return Some(End::Failed(why));
                }
            }
        }
    }

    /// Puts the close frame behind `said` that says that the server goes away.
    pub(super) fn farewell(said: &mut Vec<u8>) {
        header(true, CLOSE, 2, said);
        said.extend_from_slice(&GOING_AWAY.to_be_bytes());
    }

    /// One header or one piece of a payload. False if there is nothing more to do.
    fn step(&mut self, came: &mut &[u8], said: &mut Vec<u8>) -> Result<bool, Stop> {
        let Some(mut frame) = self.frame else {
            self.frame = self.next_frame(came)?;
            return Ok(self.frame.is_some());
        };
        let count = usize::try_from(frame.left).unwrap_or(usize::MAX).min(came.len());
        if count == 0 && frame.left > 0 {
            return Ok(false);
        }
        let (masked, rest) = came.split_at(count);
        *came = rest;
        frame.left -= count as u64;
        let is_whole = frame.left == 0;
        if frame.is_control() {
            let start = self.control.len();
            self.control.extend_from_slice(masked);
            frame.unmask(&mut self.control[start..]);
        } else {
            self.echo(&mut frame, masked, said)?;
        }
        self.frame = (!is_whole).then_some(frame);
        if is_whole && frame.is_control() {
            let payload = std::mem::take(&mut self.control);
            return control(frame.opcode, &payload, said).map(|()| true);
        }
        Ok(true)
    }

    /// Sends a piece of a message back, as a fragment.
    fn echo(
        &mut self,
        frame: &mut Frame,
        masked: &[u8],
        said: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        let opcode = self.message.unwrap_or(BINARY);
        let is_end = frame.is_last && frame.left == 0;
        let before = said.len();
        if !masked.is_empty() || is_end {
            header(is_end, if self.is_begun { CONTINUATION } else { opcode }, masked.len(), said);
            self.is_begun = true;
        }
        let start = said.len();
        said.extend_from_slice(masked);
        frame.unmask(&mut said[start..]);
        if opcode == TEXT && !self.text.takes(&said[start..], is_end) {
            said.truncate(before);
            return Err(Violation(NOT_TEXT, "a text message that is not UTF-8"));
        }
        if is_end {
            (self.message, self.is_begun) = (None, false);
        }
        Ok(())
    }

    /// The next frame, once its header is complete.
    fn next_frame(&mut self, came: &mut &[u8]) -> Result<Option<Frame>, Violation> {
        loop {
            let wanted = self.header_wanted()?;
            let missing = wanted - self.header_length;
            if missing == 0 {
                break;
            }
            let (front, rest) = came.split_at(missing.min(came.len()));
            if front.is_empty() {
                return Ok(None);
            }
            self.header[self.header_length..][..front.len()].copy_from_slice(front);
            self.header_length += front.len();
            *came = rest;
        }
        let frame = frame(&self.header)?;
        self.header_length = 0;
        self.begin(&frame)?;
        Ok(Some(frame))
    }

    /// How long the header is as far as it is known; fails as soon as it is wrong.
    fn header_wanted(&self) -> Result<usize, Violation> {
        if self.header_length < 2 {
            return Ok(2);
        }
        let [first, second, ..] = self.header;
        if first & 0x70 != 0 {
            return Err(Violation(
                PROTOCOL_ERROR,
                "a frame of an extension that was not agreed on",
            ));
        }
        if second & 0x80 == 0 {
            return Err(Violation(PROTOCOL_ERROR, "a frame without a mask"));
        }
        Ok(match second & 0x7f {
            126 => 8,
            127 => HEADER_MAX,
            _ => 6,
        })
    }

    /// Whether this frame may come now.
    fn begin(&mut self, frame: &Frame) -> Result<(), Violation> {
        match (frame.opcode, self.message) {
            (CONTINUATION, Some(_)) => Ok(()),
            (CONTINUATION, None) => {
                Err(Violation(PROTOCOL_ERROR, "a continuation without a beginning"))
            }
            (TEXT | BINARY, None) => {
                self.message = Some(frame.opcode);
                Ok(())
            }
            (TEXT | BINARY, Some(_)) => {
                Err(Violation(PROTOCOL_ERROR, "a message within another one"))
            }
            (CLOSE | PING | PONG, _) if frame.is_last && frame.left <= CONTROL_MAX => Ok(()),
            (CLOSE | PING | PONG, _) => {
                Err(Violation(PROTOCOL_ERROR, "a control frame that is too long or a fragment"))
            }
            _ => Err(Violation(PROTOCOL_ERROR, "a frame with an unknown opcode")),
        }
    }
}

/// What ends the steps.
enum Stop {
    Closed,
    Violation(Violation),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

/// The frame with this header, which is complete.
fn frame(header: &[u8; HEADER_MAX]) -> Result<Frame, Violation> {
    let [first, second, rest @ ..] = *header;
    let (left, mask) = match second & 0x7f {
        126 => {
            let [high, low, m0, m1, m2, m3, ..] = rest;
            (u64::from(u16::from_be_bytes([high, low])), [m0, m1, m2, m3])
        }
        127 => {
            let [length @ .., m0, m1, m2, m3] = rest;
            (u64::from_be_bytes(length), [m0, m1, m2, m3])
        }
        short => {
            let [m0, m1, m2, m3, ..] = rest;
            (u64::from(short), [m0, m1, m2, m3])
        }
    };
    let least = match second & 0x7f {
        126 => 126,
        127 => 1 << 16,
        _ => 0,
    };
    if left >> 63 != 0 || left < least {
        return Err(Violation(PROTOCOL_ERROR, "a length that is not in its shortest form"));
    }
    Ok(Frame { is_last: first & 0x80 != 0, opcode: first & 0x0f, left, mask, place: 0 })
}

/// Answers a control frame.
fn control(opcode: u8, payload: &[u8], said: &mut Vec<u8>) -> Result<(), Stop> {
    match opcode {
        CLOSE => {
            check_close(payload)?;
            header(true, CLOSE, payload.len(), said);
            said.extend_from_slice(payload);
            Err(Stop::Closed)
        }
        PING => {
            header(true, PONG, payload.len(), said);
            said.extend_from_slice(payload);
            Ok(())
        }
        // An unsolicited pong (RFC 6455 §5.5.3).
        _ => Ok(()),
    }
}

/// The payload of a close frame: nothing, or a code that may be sent and a reason in UTF-8.
fn check_close(payload: &[u8]) -> Result<(), Violation> {
    let (high, low, reason) = match payload {
        [] => return Ok(()),
        [_] => return Err(Violation(PROTOCOL_ERROR, "a close frame with half a code")),
        [high, low, reason @ ..] => (*high, *low, reason),
    };
    if !matches!(u16::from_be_bytes([high, low]), 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation(PROTOCOL_ERROR, "a close code that must not be sent"));
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(Violation(NOT_TEXT, "a close reason that is not UTF-8"));
    }
    Ok(())
}

/// Puts the header of a frame behind `said`.
#[allow(clippy::cast_possible_truncation)] // The lengths are compared first.
fn header(is_last: bool, opcode: u8, length: usize, said: &mut Vec<u8>) {
    said.push(u8::from(is_last) << 7 | opcode);
    match length {
        0..=125 => said.push(length as u8),
        126..=0xffff => {
            said.push(126);
            said.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            said.push(127);
            said.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
