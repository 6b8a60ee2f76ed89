//! Answers of HTTP/1.1: their status and their fields.

use std::rc::Rc;

use time::OffsetDateTime;

use super::site::Format;

/// The status of an answer (RFC 9110 §15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    BadRequest,
    Forbidden,
    NotFound,
    NotAllowed,
    ContentTooLarge,
    UpgradeRequired,
    FieldsTooLarge,
    Unavailable,
}

impl Status {
    /// Its number and its name.
    pub(super) fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::Forbidden => "403 Forbidden",
            Self::NotFound => "404 Not Found",
            Self::NotAllowed => "405 Method Not Allowed",
            Self::ContentTooLarge => "413 Content Too Large",
            Self::UpgradeRequired => "426 Upgrade Required",
            Self::FieldsTooLarge => "431 Request Header Fields Too Large",
            Self::Unavailable => "503 Service Unavailable",
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Response {
    status: Status,
    content_type: &'static str,
    pub(super) body: Rc<[u8]>,
}

impl Response {
    /// A sentence.
    pub(super) fn text(status: Status, text: &str) -> Self {
        let content_type = "text/plain; charset=utf-8";
        Self { status, content_type, body: text.as_bytes().into() }
    }

    /// The metrics.
    pub(super) fn metrics(format: Format, body: Rc<[u8]>) -> Self {
        Self { status: Status::Ok, content_type: format.content_type(), body }
    }

    /// Puts its head behind `said`; `closes`: the connection ends behind the body.
    pub(super) fn head(&self, closes: bool, said: &mut Vec<u8>) {
        let Self { status, content_type, body } = self;
        let mut head = format!(
            "HTTP/1.1 {}\r\nDate: {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
            status.line(),
            date(OffsetDateTime::now_utc()),
            body.len(),
        );
        match status {
            Status::NotAllowed => head += "Allow: GET, HEAD\r\n",
            Status::UpgradeRequired => {
                head +=
                    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade\r\n";
            }
            _ => {}
        }
        if closes {
            head += "Connection: close\r\n";
        }
        head += "\r\n";
        said.extend_from_slice(head.as_bytes());
    }
}

/// The field `Date` (RFC 9110 §5.6.7).
fn date(time: OffsetDateTime) -> String {
    let (weekday, day, month, year) = (time.weekday(), time.day(), time.month(), time.year());
    let (hour, minute, second) = time.to_hms();
    format!("{weekday:.3}, {day:02} {month:.3} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_that_of_the_rfc() {
        let time = OffsetDateTime::from_unix_timestamp(784_111_777).unwrap();
        assert_eq!(date(time), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
