//! Requests of HTTP/1.1: what of a head matters here, and which heads are refused. httparse parses.

use httparse::{EMPTY_HEADER, Error, Header, Status as Parsed};

use super::access;
use super::fields::{names, values};
use super::response::Status;
use super::site::Format;
use super::upgrade::Upgrade;

/// The longest head, in bytes.
pub(super) const HEAD_MAX: usize = 8 * 1024;

/// The most fields of a head.
const FIELDS_MAX: usize = 64;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// `/`: the page for browsers.
    Home,
    /// `/healthz`: does the daemon answer?
    Health,
    /// `/readyz`: does it take new connections?
    Ready,
    /// `/metrics`: the numbers of the daemon, in the format that the request prefers.
    Metrics(Format),
    /// `/events`: what the daemon sees; for those who call it by this host.
    Events(Option<Vec<u8>>),
    /// `/echo`: a WebSocket.
    Echo(Upgrade),
    /// There is none.
    Other,
}

/// What of a request matters.
#[derive(Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // They are independent.
pub(super) struct Request {
    pub(super) page: Page,
    /// Its method is GET or HEAD.
    pub(super) is_read: bool,
    /// Its method is HEAD: the answer has no body.
    pub(super) is_head: bool,
    /// `Host` is an address or a local name.
    pub(super) is_local_host: bool,
    /// Another request may follow.
    pub(super) keeps_alive: bool,
}

/// Why a request is refused, and the session ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It violates the protocol.
    Malformed(&'static str),
    /// Its head is too long.
    HeadTooLarge,
    /// It has a body.
    Body,
}

/// The request at the front of `bytes`, with the length of its head, if that is complete.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(usize, Request)>, Refusal> {
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut fields);
    match head.parse(&bytes[..bytes.len().min(HEAD_MAX)]) {
        Ok(Parsed::Complete(length)) => Ok(Some((length, request(&head)?))),
        Ok(Parsed::Partial) => Ok(None),
        Err(Error::TooManyHeaders) => Err(Refusal::HeadTooLarge),
        Err(_) => Err(Refusal::Malformed("this is not a request of HTTP/1.1\n")),
    }
}

/// What of a complete head matters.
fn request(head: &httparse::Request<'_, '_>) -> Result<Request, Refusal> {
    let fields = &*head.headers;
    let is_http11 = head.version == Some(1);
    check_host(fields, is_http11)?;
    check_body(fields)?;
    let method = head.method.unwrap_or_default();
    let is_head = method == "HEAD";
    let page = match path(head.path.unwrap_or_default()) {
        "/" => Page::Home,
        "/healthz" => Page::Health,
        "/readyz" => Page::Ready,
        "/echo" if is_http11 => Page::Echo(Upgrade::of(fields)),
        "/echo" => Page::Echo(Upgrade::No),
        "/events" => Page::Events(values(fields, "Host").next().map(<[u8]>::to_vec)),
        "/metrics" => Page::Metrics(format(fields)),
        _ => Page::Other,
    };
    let keeps_alive = is_http11 && !names(fields, "Connection", "close");
    let is_local_host = values(fields, "Host").all(access::is_local);
    Ok(Request { is_local_host, page, is_read: is_head || method == "GET", is_head, keeps_alive })
}

/// `OpenMetrics` for those who know it. Prometheus names it first.
fn format(fields: &[Header<'_>]) -> Format {
    let name = b"application/openmetrics-text";
    let knows =
        values(fields, "Accept").any(|value| value.windows(name.len()).any(|it| it == name));
    if knows { Format::OpenMetrics } else { Format::Text }
}

/// The path of a target in origin form or in absolute form (RFC 9112 §3.2), without its query.
fn path(target: &str) -> &str {
    let path = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |place| &rest[place..]),
        None => target,
    };
    path.split('?').next().unwrap_or_default()
}

/// A request of HTTP/1.1 names one host (RFC 9112 §3.2).
fn check_host(fields: &[Header<'_>], is_http11: bool) -> Result<(), Refusal> {
    match values(fields, "Host").count() {
        0 if is_http11 => Err(Refusal::Malformed("a request needs the field Host\n")),
        0 | 1 => Ok(()),
        _ => Err(Refusal::Malformed("a request has one field Host\n")),
    }
}

/// No page takes a body, and one that is not read would look like the next request.
fn check_body(fields: &[Header<'_>]) -> Result<(), Refusal> {
    let mut lengths = values(fields, "Content-Length");
    let is_chunked = values(fields, "Transfer-Encoding").next().is_some();
    match (lengths.next(), lengths.next()) {
        (Some(_), _) if is_chunked => {
            Err(Refusal::Malformed("Content-Length and Transfer-Encoding exclude each other\n"))
        }
        (Some(_), Some(_)) => Err(Refusal::Malformed("a request has one Content-Length\n")),
        (Some(b"0"), None) => Ok(()),
        (Some(length), None) if length.iter().all(u8::is_ascii_digit) => Err(Refusal::Body),
        (Some(_), None) => Err(Refusal::Malformed("Content-Length is not a number\n")),
        (None, _) if is_chunked => Err(Refusal::Body),
        (None, _) => Ok(()),
    }
}

impl Refusal {
    /// The status of the answer.
    pub(super) fn status(&self) -> Status {
        match self {
            Self::Malformed(_) => Status::BadRequest,
            Self::HeadTooLarge => Status::FieldsTooLarge,
            Self::Body => Status::ContentTooLarge,
        }
    }

    /// The answer: a line.
    pub(super) fn text(&self) -> &'static str {
        match self {
            Self::Malformed(text) => text,
            Self::HeadTooLarge => "the head of a request has at most 8 KiB and 64 fields\n",
            Self::Body => "a request here has no body\n",
        }
    }

    /// The detail for the log. It has nothing of the `bytes` that came.
    pub(super) fn detail(&self, bytes: &[u8]) -> Box<str> {
        match (self, bytes.first()) {
            // The type of a record with a ClientHello (RFC 8446 §5.1).
            (Self::Malformed(_), Some(22)) => {
                "not HTTP but TLS: did the peer mean another port?".into()
            }
            _ => self.text().trim_end().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(target: &str) -> Page {
        let head = format!("GET {target} HTTP/1.1\r\nHost: alex\r\n\r\n");
        let (length, request) = parse(head.as_bytes()).unwrap().unwrap();
        assert_eq!(length, head.len());
        request.page
    }

    #[test]
    fn a_target_is_a_path_in_any_form_and_its_query_does_not_matter() {
        assert_eq!(page("/healthz"), Page::Health);
        assert_eq!(page("/readyz?verbose"), Page::Ready);
        assert_eq!(page("http://alex:5080/healthz?x=//y"), Page::Health);
        assert_eq!(page("http://alex"), Page::Home);
        assert_eq!(page("/?from=x"), Page::Home);
        assert_eq!(page("*"), Page::Other);
        assert_eq!(page("/healthz/"), Page::Other);
    }

    fn refusal(fields: &str) -> Option<Refusal> {
        parse(format!("POST / HTTP/1.1\r\n{fields}\r\n").as_bytes()).err()
    }

    #[test]
    fn one_host_is_required_and_a_body_is_refused() {
        let malformed = |fields| matches!(refusal(fields), Some(Refusal::Malformed(_)));
        assert!(malformed(""));
        assert!(malformed("Host: a\r\nhost: b\r\n"));
        assert!(malformed("Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n"));
        assert!(malformed("Host: a\r\nContent-Length: 0\r\nContent-Length: 1\r\n"));
        assert!(malformed("Host: a\r\nContent-Length: +0\r\n"));
        assert_eq!(
            refusal("Host: a\r\nContent-Length: 18446744073709551616\r\n"),
            Some(Refusal::Body)
        );
        assert_eq!(refusal("Host: a\r\nTransfer-Encoding: chunked\r\n"), Some(Refusal::Body));
        assert_eq!(refusal("Host: a\r\nContent-Length: 0\r\n"), None);
        let old = parse(b"GET / HTTP/1.0\r\n\r\n").unwrap().unwrap().1;
        assert!(!old.keeps_alive);
    }

    #[test]
    fn a_connection_is_kept_unless_one_of_its_options_is_close() {
        let kept = |fields: &str| {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            parse(head.as_bytes()).unwrap().unwrap().1.keeps_alive
        };
        assert!(kept(""));
        assert!(kept("Connection: closed\r\n"));
        assert!(!kept("Connection: close\r\n"));
        assert!(!kept("connection: Upgrade,  CLOSE \r\n"));
    }

    #[test]
    fn the_detail_names_the_fault_and_tls_on_a_plain_port() {
        let fault = parse(b"\x16\x03\x01\x02\x00").unwrap_err();
        assert_eq!(&*fault.detail(b"\x16"), "not HTTP but TLS: did the peer mean another port?");
        assert_eq!(&*fault.detail(b"x"), "this is not a request of HTTP/1.1");
        assert_eq!(&*Refusal::Body.detail(b"P"), "a request here has no body");
    }
}
