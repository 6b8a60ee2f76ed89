//! Answers of HTTP/1.1: their status and their fields.

use std::rc::Rc;

use time::OffsetDateTime;

use super::page::Home;
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
    /// More fields, each with its end of line.
    fields: Option<Rc<str>>,
    pub(super) body: Rc<[u8]>,
    /// The end of the connection is its end, and the body is only its beginning.
    pub(super) is_stream: bool,
}

impl Response {
    /// A sentence.
    pub(super) fn text(status: Status, text: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.as_bytes().into())
    }

    /// The page for browsers.
    pub(super) fn page(home: &Home) -> Self {
        let fields = Some(Rc::clone(&home.fields));
        Self { fields, ..Self::new(Status::Ok, "text/html; charset=utf-8", Rc::clone(&home.body)) }
    }

    /// A stream of events, which a browser requests again a second after its end.
    pub(super) fn events() -> Self {
        let body = b"retry: 1000\n\n".as_slice().into();
        Self { is_stream: true, ..Self::new(Status::Ok, "text/event-stream", body) }
    }

    /// The metrics.
    pub(super) fn metrics(format: Format, body: Rc<[u8]>) -> Self {
        Self::new(Status::Ok, format.content_type(), body)
    }

    fn new(status: Status, content_type: &'static str, body: Rc<[u8]>) -> Self {
        Self { status, content_type, fields: None, body, is_stream: false }
    }

    /// Puts its head behind `said`; `closes`: the connection ends behind the body.
    pub(super) fn head(&self, closes: bool, said: &mut Vec<u8>) {
        let Self { status, content_type, fields, body, is_stream } = self;
        let length =
            if *is_stream { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let mut head = format!(
            "HTTP/1.1 {}\r\nDate: {}\r\nContent-Type: {content_type}\r\n{length}\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{}",
            status.line(),
            date(OffsetDateTime::now_utc()),
            fields.as_deref().unwrap_or_default(),
        );
        match status {
            Status::NotAllowed => head += "Allow: GET, HEAD\r\n",
            Status::UpgradeRequired => {
                head +=
                    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade\r\n";
            }
            _ => {}
        }
        if closes || *is_stream {
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
