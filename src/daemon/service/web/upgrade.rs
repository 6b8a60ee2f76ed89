//! The opening handshake of a WebSocket (RFC 6455 §4.2).
//!
//! # Whose pages may use it
//!
//! A browser lets a page of anybody open a WebSocket to any host, and says in `Origin` whose page it is.
//! So pages of this listener may, and those of the `origins` in the configuration. Programs send none.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use httparse::Header;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::fields::{names, values};

/// What the answer to a key is made with (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The version of the protocol.
const VERSION: &[u8] = b"13";

/// A request to upgrade to a WebSocket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// It does not ask for that, or not for this version.
    No,
    /// Its key is not one.
    Malformed,
    /// The answer to its key, and whose page asks, if that is not one of this host.
    Yes { accept: String, foreign: Option<Vec<u8>> },
}

impl Upgrade {
    /// What a request asks for.
    pub(super) fn of(fields: &[Header<'_>]) -> Self {
        let is_version = |value: &[u8]| value.trim_ascii() == VERSION;
        if !names(fields, "Connection", "upgrade")
            || !names(fields, "Upgrade", "websocket")
            || !values(fields, "Sec-WebSocket-Version").any(is_version)
        {
            return Self::No;
        }
        let mut keys = values(fields, "Sec-WebSocket-Key");
        let (Some(key), None) = (keys.next(), keys.next()) else { return Self::Malformed };
        if STANDARD.decode(key).map(|key| key.len()) != Ok(16) {
            return Self::Malformed;
        }
        let answer = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
        Self::Yes { accept: STANDARD.encode(answer), foreign: foreign(fields) }
    }
}

/// The origin of the page that asks, if that is not one of this host.
fn foreign(fields: &[Header<'_>]) -> Option<Vec<u8>> {
    let origin = values(fields, "Origin").next()?;
    let authority = origin.strip_prefix(b"http://").or(origin.strip_prefix(b"https://"));
    let is_ours = authority.is_some_and(|authority| {
        values(fields, "Host").any(|host| host.eq_ignore_ascii_case(authority))
    });
    (!is_ours).then(|| origin.to_vec())
}

/// Whether `origins` has `origin`, or "*" for all.
pub(super) fn is_allowed(origin: &[u8], origins: &[String]) -> bool {
    origins.iter().any(|it| it == "*" || it.as_bytes().eq_ignore_ascii_case(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrade(origin: &str) -> Upgrade {
        let field = |name, value: &'static str| Header { name, value: value.as_bytes() };
        let mut fields = vec![
            field("Host", "alex.local:5080"),
            field("Connection", "keep-alive, Upgrade"),
            field("Upgrade", "WebSocket"),
            field("Sec-WebSocket-Version", "13"),
            field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        if !origin.is_empty() {
            fields.push(Header { name: "Origin", value: origin.as_bytes() });
        }
        Upgrade::of(&fields)
    }

    #[test]
    fn the_answer_to_a_key_is_that_of_the_rfc() {
        // RFC 6455 §1.3.
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned();
        assert_eq!(upgrade(""), Upgrade::Yes { accept, foreign: None });
    }

    #[test]
    fn a_page_of_this_host_is_not_foreign() {
        let foreign = |origin| match upgrade(origin) {
            Upgrade::Yes { foreign, .. } => foreign,
            other => panic!("{other:?}"),
        };
        assert_eq!(foreign("http://alex.local:5080"), None);
        assert_eq!(foreign("https://ALEX.local:5080"), None);
        for origin in ["http://alex.local", "http://example.com", "null", "ftp://alex.local:5080"] {
            assert_eq!(foreign(origin), Some(origin.as_bytes().to_vec()));
        }
        let listed = ["http://example.com".to_owned()];
        assert!(is_allowed(b"http://EXAMPLE.com", &listed) && !is_allowed(b"null", &listed));
        assert!(is_allowed(b"null", &["*".to_owned()]));
    }
}
