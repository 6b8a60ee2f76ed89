//! A server that cannot do what the client allows: what the server offers, as far as it said so, what
//! the client allows, and which of its options would allow more.

use rustls::{AlertDescription, ClientConfig, Error, PeerIncompatible, PeerMisbehaved};

use crate::tls::certificate::escape::printable;
use crate::tls::handshake::Offer;
use crate::tls::names;
use crate::tls::provider::{has_aes, provider};

/// The options of the client that limit what it offers.
const VERSION: &str = "--tls-version";
const SUITE: &str = "--cipher-suite";
const GROUP: &str = "--group";

/// Explains `error` in a handshake of a client with this configuration, if that is the cause. `received`
/// is what was read last.
pub(super) fn explain(error: &Error, config: &ClientConfig, received: &[u8]) -> Option<String> {
    let allowed = Allowed::new(config);
    let ours = &allowed.offer;
    Some(match error {
        Error::AlertReceived(
            alert @ (AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity),
        ) => {
            let name = names::alert((*alert).into()).unwrap_or_default();
            format!(
                "the two sides have no cipher suite, group or signature scheme in common (the alert \
                 {name} does not say what the server offers): you allow {}, cipher suites {}, groups {}, signatures {}{}",
                ours.versions(),
                ours.suites,
                ours.groups,
                ours.schemes,
                allowed.remedy(&[VERSION, SUITE, GROUP])
            )
        }
        Error::AlertReceived(AlertDescription::ProtocolVersion) => format!(
            "the two sides have no version in common (the alert protocol_version does not say what \
             the server offers): you allow {}{}",
            ours.versions(),
            allowed.remedy(&[VERSION, SUITE])
        ),
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) => format!(
            "the two sides have no application protocol in common (the alert \
             no_application_protocol does not say what the server offers): you allow {} with --alpn",
            allowed.protocols()
        ),
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            "the server does not know the name that it was sent (alert unrecognized_name): send \
             another one with --sni NAME, or none with --no-sni"
                .into()
        }
        Error::PeerIncompatible(
            PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::ServerDoesNotSupportTls12Or13,
        ) => format!(
            "the server offers {}, you allow {}{}",
            name(Answer::find(received).version, names::version, "another version"),
            ours.versions(),
            allowed.remedy(&[VERSION, SUITE])
        ),
        Error::PeerMisbehaved(
            PeerMisbehaved::SelectedUnofferedCipherSuite
            | PeerMisbehaved::IllegalHelloRetryRequestWithUnofferedCipherSuite,
        ) => format!(
            "the server offers the cipher suite {}, you allow {}{}",
            name(Answer::find(received).suite, names::suite, "of another kind"),
            ours.suites,
            allowed.remedy(&[SUITE, VERSION])
        ),
        Error::PeerMisbehaved(
            PeerMisbehaved::IllegalHelloRetryRequestWithUnofferedNamedGroup
            | PeerMisbehaved::SelectedUnofferedKxGroup,
        ) => format!(
            "the server offers the key exchange group {}, you allow {}{}",
            name(Answer::find(received).group, names::group, "of another kind"),
            ours.groups,
            allowed.remedy(&[GROUP])
        ),
        Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol) => {
            let theirs = Answer::find(received).protocol;
            format!(
                "the server offers the application protocol {}, you allow {} with --alpn",
                theirs.as_deref().unwrap_or("of an encrypted message"),
                allowed.protocols()
            )
        }
        _ => return None,
    })
}

/// What the client allows.
struct Allowed<'a> {
    config: &'a ClientConfig,
    offer: Offer,
}

impl<'a> Allowed<'a> {
    fn new(config: &'a ClientConfig) -> Self {
        Self { config, offer: Offer::of_client(config.crypto_provider()) }
    }

    /// The application protocols.
    fn protocols(&self) -> String {
        let names = self.config.alpn_protocols.iter();
        let names: Vec<_> = names.map(|it| String::from_utf8_lossy(it).into_owned()).collect();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    }

    /// Which of `options` would allow more; without one, that is all that the client has.
    fn remedy(&self, options: &[&str]) -> String {
        let (all, ours) = (provider(has_aes()), self.config.crypto_provider());
        let everything = Offer::of_client(&all);
        let is_less = |option: &&&str| match **option {
            VERSION => self.offer.versions() != everything.versions(),
            // A version has its own suites.
            SUITE => all.cipher_suites.iter().any(|suite| {
                let version = suite.version();
                ours.cipher_suites.iter().any(|own| own.version() == version)
                    && ours.cipher_suites.iter().all(|own| own.suite() != suite.suite())
            }),
            _ => ours.kx_groups.len() < all.kx_groups.len(),
        };
        let less: Vec<&str> = options.iter().filter(is_less).copied().collect();
        if less.is_empty() {
            return ", which is all that this client has".into();
        }
        format!("; {} would allow more", less.join(" or "))
    }
}

/// The name of a code point, or else its number.
fn name(number: Option<u16>, name: fn(u16) -> Option<&'static str>, unknown: &str) -> String {
    let Some(number) = number else { return unknown.into() };
    name(number).map_or_else(|| format!("0x{number:04X}"), Into::into)
}

/// What the server chose in the messages that are not encrypted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    version: Option<u16>,
    suite: Option<u16>,
    group: Option<u16>,
    protocol: Option<String>,
}

impl Answer {
    /// Reads it from records.
    fn find(mut records: &[u8]) -> Self {
        let mut messages = Vec::new();
        while let Some((kind, record)) = record(&mut records) {
            if kind == 22 {
                messages.extend_from_slice(record);
            }
        }
        let (mut answer, mut messages) = (Self::default(), &messages[..]);
        while let Some((kind, body)) = message(&mut messages) {
            let _ = match kind {
                2 => answer.read_hello(body),
                12 => answer.read_key_exchange(body),
                _ => None,
            };
        }
        answer
    }

    /// A `ServerHello` or a `HelloRetryRequest` (RFC 8446 §4.1.3, §4.1.4).
    fn read_hello(&mut self, mut body: &[u8]) -> Option<()> {
        self.version = Some(number(&mut body)?);
        take(&mut body, 32)?;
        block(&mut body, 1)?;
        self.suite = Some(number(&mut body)?);
        take(&mut body, 1)?;
        let mut extensions = block(&mut body, 2)?;
        while let Some(kind) = number(&mut extensions) {
            let mut content = block(&mut extensions, 2)?;
            match kind {
                16 => {
                    let name = block(&mut block(&mut content, 2)?, 1)?;
                    self.protocol = Some(printable(&String::from_utf8_lossy(name)));
                }
                43 => self.version = Some(number(&mut content)?),
                51 => self.group = Some(number(&mut content)?),
                _ => {}
            }
        }
        Some(())
    }

    /// A `ServerKeyExchange` of TLS 1.2 on a named curve (RFC 8422 §5.4).
    fn read_key_exchange(&mut self, mut body: &[u8]) -> Option<()> {
        if take(&mut body, 1)? == [3] {
            self.group = Some(number(&mut body)?);
        }
        Some(())
    }
}

/// The next record: its type and its content.
fn record<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let kind = *take(bytes, 3)?.first()?;
    Some((kind, block(bytes, 2)?))
}

/// The next handshake message: its type and its body.
fn message<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let kind = *take(bytes, 1)?.first()?;
    Some((kind, block(bytes, 3)?))
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(front)
}

fn number(bytes: &mut &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(take(bytes, 2)?.try_into().ok()?))
}

/// Bytes behind their length, which has `width` bytes.
fn block<'a>(bytes: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let length = take(bytes, width)?.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    take(bytes, length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::choice::{Choice, Version};
    use crate::tls::client::{self, Trust};

    fn explained(choice: Choice, error: &Error, received: &[u8]) -> String {
        let settings = client::Settings { choice, ..client::Settings::new(Trust::Anything) };
        let (config, _) = client::client_config(&settings).unwrap();
        explain(error, &config, received).unwrap()
    }

    fn suites(names: &[&str]) -> Choice {
        Choice { suites: names.iter().map(ToString::to_string).collect(), ..Choice::default() }
    }

    /// A record with a `ServerHello` of this legacy version, suite and extensions.
    fn hello(version: [u8; 2], suite: [u8; 2], extensions: &[u8]) -> Vec<u8> {
        let (mut body, length) =
            (version.to_vec(), |bytes: &[u8]| [0, u8::try_from(bytes.len()).unwrap()]);
        body.extend([7; 32]);
        body.push(0);
        body.extend(suite);
        body.push(0);
        body.extend(length(extensions));
        body.extend(extensions);
        let message = [&[2, 0][..], &length(&body), &body].concat();
        [&[22, 3, 3][..], &length(&message), &message].concat()
    }

    #[test]
    fn what_the_server_chose_is_set_against_what_is_allowed() {
        let only_13 = || Choice { version: Some(Version::V1_3), ..Choice::default() };
        let error = PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into();
        let text = explained(only_13(), &error, &hello([3, 3], [0xC0, 0x2F], &[]));
        assert_eq!(
            text,
            "the server offers TLS 1.2, you allow TLS 1.3; --tls-version would allow more"
        );
        let error = PeerIncompatible::ServerDoesNotSupportTls12Or13.into();
        let text = explained(Choice::default(), &error, &hello([3, 2], [0, 5], &[]));
        assert_eq!(
            text,
            "the server offers TLS 1.1, you allow TLS 1.2 and 1.3, which is all that this client has"
        );
        let error = PeerMisbehaved::SelectedUnofferedCipherSuite.into();
        let own = suites(&["AES_128_GCM_SHA256"]);
        let text = explained(own, &error, &hello([3, 3], [0x13, 0x02], &[0, 43, 0, 2, 3, 4]));
        assert_eq!(
            text,
            "the server offers the cipher suite AES_256_GCM_SHA384, you allow AES_128_GCM_SHA256; \
             --cipher-suite or --tls-version would allow more"
        );
        let error = PeerMisbehaved::IllegalHelloRetryRequestWithUnofferedNamedGroup.into();
        let own = Choice { groups: vec!["X25519".into()], ..Choice::default() };
        let retry = hello([3, 3], [0x13, 0x01], &[0, 51, 0, 2, 0, 24]);
        let text = explained(own, &error, &retry);
        assert_eq!(
            text,
            "the server offers the key exchange group secp384r1, you allow X25519; --group would \
             allow more"
        );
        let error = PeerMisbehaved::SelectedUnofferedApplicationProtocol.into();
        let own = Choice { alpn: vec!["echo".into(), "h2".into()], ..Choice::default() };
        let protocol = hello([3, 3], [0xC0, 0x2F], b"\0\x10\0\x05\0\x03\x02h\x1b");
        let text = explained(own, &error, &protocol);
        assert_eq!(
            text,
            "the server offers the application protocol h\\u{1b}, you allow echo, h2 with --alpn"
        );
    }

    #[test]
    fn an_alert_that_does_not_say_what_the_server_offers_is_explained_with_what_is_allowed() {
        for alert in [AlertDescription::HandshakeFailure, AlertDescription::InsufficientSecurity] {
            let error = Error::AlertReceived(alert);
            let text = explained(suites(&["AES_128_GCM_SHA256"]), &error, &[]);
            for words in [
                "you allow TLS 1.3, cipher suites AES_128_GCM_SHA256, groups X25519, ",
                "; --tls-version or --cipher-suite would allow more",
            ] {
                assert!(text.contains(words), "{text}");
            }
            assert!(text.contains(" does not say what the server offers): "), "{text}");
            let text = explained(Choice::default(), &error, &[]);
            assert!(text.ends_with(", which is all that this client has"), "{text}");
        }
        let error = Error::AlertReceived(AlertDescription::ProtocolVersion);
        let only_12 = Choice { version: Some(Version::V1_2), ..Choice::default() };
        let text = explained(only_12, &error, &[]);
        assert!(text.ends_with("you allow TLS 1.2; --tls-version would allow more"), "{text}");
        let error = Error::AlertReceived(AlertDescription::NoApplicationProtocol);
        let own = Choice { alpn: vec!["echo".into()], ..Choice::default() };
        assert!(explained(own, &error, &[]).ends_with("you allow echo with --alpn"));
    }

    #[test]
    fn the_group_of_tls_1_2_is_in_another_message_and_a_message_may_be_in_several_records() {
        let mut bytes = hello([3, 3], [0xC0, 0x2F], &[]);
        bytes.extend([22, 3, 3, 0, 3, 12, 0, 0]);
        bytes.extend([22, 3, 3, 0, 5, 4, 3, 0, 24, 99]);
        let answer = Answer::find(&bytes);
        assert_eq!((answer.version, answer.suite), (Some(0x0303), Some(0xC02F)));
        assert_eq!(answer.group, Some(24));
    }

    #[test]
    fn an_answer_that_is_cut_short_is_read_as_far_as_it_goes() {
        let bytes = hello([3, 3], [0x13, 0x01], &[0, 51, 0, 2, 0, 24]);
        for length in 0..bytes.len() {
            assert_eq!(Answer::find(&bytes[..length]), Answer::default());
        }
        let mut lying = bytes;
        lying[5 + 4 + 2 + 32] = 255;
        let version = Some(0x0303);
        assert_eq!(Answer::find(&lying), Answer { version, ..Answer::default() });
    }
}
