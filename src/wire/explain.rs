//! Translates an error of rustls into the reason why a session ends: rustls writes its errors for
//! programmers. Of what the peer sent, only numbers get into the text.

use rustls::{
    AlertDescription, ClientConfig, Error, HandshakeType, InconsistentKeys, InvalidMessage,
    PeerIncompatible,
};

use crate::tls::explain::reason;
use crate::tls::handshake::{Offer, VerificationRecord};
use crate::tls::names;
use crate::wire::close::CloseReason;
use crate::wire::mismatch;

/// This side of the connection, with what it knows of the handshake.
#[derive(Clone, Copy)]
pub(super) enum Role<'a> {
    Server(&'a VerificationRecord),
    /// With what was read last.
    Client(&'a ClientConfig, &'a [u8]),
}

impl Role<'_> {
    /// What this side accepts or offers.
    fn offer(self) -> Offer {
        match self {
            Self::Server(record) => record.ours.clone(),
            Self::Client(config, _) => Offer::of_client(config.crypto_provider()),
        }
    }
}

/// Why a session ends with `error`; during a handshake, some errors mean more.
pub(super) fn explain(error: &Error, handshaking: bool, role: Role<'_>) -> CloseReason {
    let peer = |text: &str| CloseReason::TlsPeer(text.into());
    if let (Role::Client(config, received), true) = (role, handshaking)
        && let Some(text) = mismatch::explain(error, config, received)
    {
        return peer(&text);
    }
    match error {
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) if handshaking => CloseReason::NotTls,
        // Our own ClientHello came back: the peer is an echo server without TLS.
        Error::InappropriateHandshakeMessage {
            expect_types,
            got_type: HandshakeType::ClientHello,
        } if expect_types.contains(&HandshakeType::ServerHello) => CloseReason::NotTls,
        Error::InvalidMessage(what) => {
            peer(&format!("the peer sent a malformed message: {}", words(&format!("{what:?}"))))
        }
        Error::AlertReceived(alert) => alert_received(*alert),
        Error::NoCertificatesPresented => {
            peer("the peer sent no certificate, and client-auth is \"required\"")
        }
        Error::InvalidCertificate(error) => match role {
            Role::Server(record) => match record.take_ca_fault() {
                Some(fault) => CloseReason::TlsLocal(fault.into()),
                None => peer(&reason::of_peer(error)),
            },
            Role::Client(..) => peer(&reason::of_peer(error)),
        },
        Error::PeerIncompatible(why) => peer(&incompatible(why, role)),
        // rustls has no type for this in TLS 1.2.
        Error::General(text) if text == "incompatible signing key" => {
            peer(&incompatible(&PeerIncompatible::NoSignatureSchemesInCommon, role))
        }
        Error::PeerMisbehaved(how) => {
            peer(&format!("the peer broke the rules of TLS: {}", words(&format!("{how:?}"))))
        }
        Error::InappropriateMessage { expect_types, got_type } => peer(&unexpected(
            (got_type.as_str(), u8::from(*got_type)),
            expect_types.iter().map(|it| (it.as_str(), u8::from(*it))),
        )),
        Error::InappropriateHandshakeMessage { expect_types, got_type } => peer(&unexpected(
            (got_type.as_str(), u8::from(*got_type)),
            expect_types.iter().map(|it| (it.as_str(), u8::from(*it))),
        )),
        Error::DecryptError => peer("what the peer sent cannot be decrypted"),
        Error::PeerSentOversizedRecord => peer("the peer sent a record that is too long"),
        Error::NoApplicationProtocol => {
            peer("the peer offers no application protocol (ALPN) that is known here")
        }
        Error::UnsupportedNameType => peer("the peer sent a server name of an unknown type"),
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            CloseReason::TlsLocal("the key does not belong to the certificate".into())
        }
        Error::InconsistentKeys(_) => {
            CloseReason::TlsLocal("the key may not belong to the certificate".into())
        }
        Error::EncryptError
        | Error::General(_)
        | Error::FailedToGetCurrentTime
        | Error::FailedToGetRandomBytes
        | Error::HandshakeNotComplete
        | Error::BadMaxFragmentSize
        | Error::Other(_) => CloseReason::TlsLocal(error.to_string().into()),
        // Revocation lists and the encrypted ClientHello, which are not used here.
        _ => peer("the peer uses TLS in a way that is not known here"),
    }
}

fn is_about_certificates(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            // GnuTLS sends this for a certificate that it does not trust.
            | AlertDescription::AccessDenied
    )
}

fn alert_received(alert: AlertDescription) -> CloseReason {
    let name = alert_name(alert);
    if is_about_certificates(alert) {
        return CloseReason::CertificateRefused(match alert {
            AlertDescription::UnknownCA => {
                "the peer does not know the CA of our certificate".into()
            }
            AlertDescription::CertificateRequired => "the peer asks for a certificate".into(),
            AlertDescription::CertificateExpired => {
                "the peer says that our certificate or its CA has expired or is not valid yet"
                    .into()
            }
            _ => format!("the peer does not accept our certificate (alert {name})").into(),
        });
    }
    CloseReason::TlsPeer(format!("the peer sent the alert {name}").into())
}

/// What the two sides do not have in common, and what each of them offers, as far as it is known.
fn incompatible(why: &PeerIncompatible, role: Role<'_>) -> String {
    let ours = role.offer();
    let theirs = match role {
        Role::Server(record) => Some(record.theirs()),
        Role::Client(..) => None,
    };
    match (why, theirs) {
        (PeerIncompatible::NoCipherSuitesInCommon, Some(theirs)) => format!(
            "no cipher suite in common: the peer offers {}; we accept {}",
            theirs.suites, ours.suites
        ),
        // Only suites with another key exchange, such as RSA, were offered.
        (PeerIncompatible::NoKxGroupsInCommon, Some(theirs)) if theirs.groups.is_empty() => {
            format!(
                "the peer offers no key exchange group, only the cipher suites {}; we accept {}, and the \
             groups {}",
                theirs.suites, ours.suites, ours.groups
            )
        }
        (PeerIncompatible::NoKxGroupsInCommon, Some(theirs)) => format!(
            "no key exchange group in common: the peer offers {}; we accept {}",
            theirs.groups, ours.groups
        ),
        (PeerIncompatible::NoSignatureSchemesInCommon, Some(theirs)) => format!(
            "the peer accepts no signature scheme of our key: it accepts {}; our key has {}",
            theirs.schemes, ours.schemes
        ),
        (PeerIncompatible::Tls12NotOffered, _) => {
            format!("the peer offers TLS 1.1 at most, and we accept {}", ours.versions())
        }
        (PeerIncompatible::SupportedVersionsExtensionRequired, Some(_)) => {
            format!("the peer offers TLS 1.2 at most, and we accept {}", ours.versions())
        }
        (PeerIncompatible::Tls12NotOfferedOrEnabled, _) => {
            format!("the peer offers none of the versions that we accept: {}", ours.versions())
        }
        (PeerIncompatible::SignatureAlgorithmsExtensionRequired, _) => format!(
            "the peer names no signature algorithms, as before TLS 1.2; we accept {}",
            ours.versions()
        ),
        // Its text would have bytes of the peer. This side does not ask for it.
        (PeerIncompatible::ServerRejectedEncryptedClientHello(_), _) => {
            "the server refuses an encrypted ClientHello".into()
        }
        (why, _) => format!("the peer is not compatible: {}", words(&format!("{why:?}"))),
    }
}

/// A message that was not expected, by its name or else its number.
fn unexpected(
    got: (Option<&'static str>, u8),
    expected: impl Iterator<Item = (Option<&'static str>, u8)>,
) -> String {
    let name = |(name, number): (Option<&str>, u8)| {
        name.map_or_else(|| format!("message type {number}"), Into::into)
    };
    let expected: Vec<String> = expected.map(name).collect();
    format!("the peer sent {} instead of {}", name(got), expected.join(" or "))
}

/// An alert as RFC 8446 §6 spells it.
fn alert_name(alert: AlertDescription) -> String {
    let number = u8::from(alert);
    names::alert(number).unwrap_or_else(|| format!("number {number}"))
}

/// The name of an error of rustls in words: `MissingData("Random")` becomes "missing data (Random)".
/// rustls has about a hundred of them, and each name says what happened.
fn words(name: &str) -> String {
    let (name, detail) = match name.split_once('(') {
        Some((name, detail)) => (name, detail.trim_end_matches(')').trim_matches('"')),
        None => (name, ""),
    };
    let spelled = names::words(name).into_iter().map(|word| match word {
        "Tls12" => "TLS 1.2".into(),
        "Tls13" => "TLS 1.3".into(),
        "Tls" => "TLS".into(),
        "Psk" => "PSK".into(),
        "Ech" => "ECH".into(),
        "Ec" => "EC".into(),
        "Ccs" => "ChangeCipherSpec".into(),
        "Kx" => "key exchange".into(),
        _ => word.to_lowercase(),
    });
    let spelled: Vec<String> = spelled.collect();
    let spelled = spelled.join(" ");
    if detail.is_empty() { spelled } else { format!("{spelled} ({detail})") }
}

#[cfg(test)]
mod tests {
    use rustls::{CertificateError, ContentType, PeerMisbehaved};

    use super::*;
    use crate::config;
    use crate::tls::{client, provider, server};
    use crate::wire::buffers::Scratch;
    use crate::wire::transport::Transport;

    fn client_config() -> client::ClientConfig {
        client::client_config(&client::Settings::new(client::Trust::Anything)).unwrap().0
    }

    /// A server's record of no handshake.
    fn record() -> VerificationRecord {
        VerificationRecord::new(Offer::of_client(&provider::provider(true)))
    }

    /// A reason and its detail.
    fn text(reason: &CloseReason) -> String {
        format!("{}: {}", reason.name(), reason.detail().unwrap_or_default())
    }

    /// The reason for an error at a server during a handshake.
    fn reason_at_server(error: &Error) -> String {
        text(&explain(error, true, Role::Server(&record())))
    }

    #[test]
    fn bytes_that_are_no_record_are_not_tls_during_a_handshake_and_malformed_after_it() {
        let error = Error::InvalidMessage(InvalidMessage::InvalidContentType);
        let record = record();
        assert_eq!(explain(&error, true, Role::Server(&record)), CloseReason::NotTls);
        let reason = text(&explain(&error, false, Role::Server(&record)));
        assert_eq!(reason, "tls-peer: the peer sent a malformed message: invalid content type");
    }

    #[test]
    fn our_own_client_hello_comes_back_from_an_echo_server_without_tls() {
        let of = |expected| {
            reason_at_server(&Error::InappropriateHandshakeMessage {
                expect_types: vec![expected],
                got_type: HandshakeType::ClientHello,
            })
        };
        assert!(of(HandshakeType::ServerHello).starts_with("not-tls: "));
        let detail = "the peer sent ClientHello instead of Finished";
        assert_eq!(of(HandshakeType::Finished), format!("tls-peer: {detail}"));
    }

    #[test]
    fn an_alert_about_certificates_is_a_refusal_with_its_cause() {
        let of = |alert| match explain(&Error::AlertReceived(alert), true, Role::Server(&record()))
        {
            CloseReason::CertificateRefused(text) => text,
            reason => panic!("{alert:?}: {reason:?}"),
        };
        assert!(of(AlertDescription::UnknownCA).contains("does not know the CA"));
        assert!(of(AlertDescription::CertificateRequired).contains("asks for a certificate"));
        assert!(of(AlertDescription::CertificateExpired).contains("has expired"));
        assert!(of(AlertDescription::BadCertificate).ends_with("(alert bad_certificate)"));
    }

    #[test]
    fn an_alert_about_a_clients_offer_is_explained_during_a_handshake_and_any_other_is_named() {
        let config = client_config();
        let of = |alert, handshaking| {
            let error = Error::AlertReceived(alert);
            text(&explain(&error, handshaking, Role::Client(&config, &[])))
        };
        assert!(of(AlertDescription::HandshakeFailure, true).contains("you allow TLS 1.2 and"));
        for (alert, handshaking, name) in [
            (AlertDescription::HandshakeFailure, false, "handshake_failure"),
            (AlertDescription::ProtocolVersion, false, "protocol_version"),
            (AlertDescription::DecodeError, true, "decode_error"),
        ] {
            let detail = format!("the peer sent the alert {name}");
            assert_eq!(of(alert, handshaking), format!("tls-peer: {detail}"));
        }
    }

    #[test]
    fn a_refused_certificate_is_the_peers_fault_unless_our_ca_has_expired() {
        let error = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let peers = reason::of_peer(&CertificateError::UnknownIssuer);
        let peers = CloseReason::TlsPeer(peers.into());
        let (record, config) = (record(), client_config());
        assert_eq!(explain(&error, true, Role::Client(&config, &[])), peers);
        assert_eq!(explain(&error, true, Role::Server(&record)), peers);
        record.set_ca_fault("it expired".into());
        let ours = explain(&error, true, Role::Server(&record));
        assert_eq!(ours, CloseReason::TlsLocal("it expired".into()));
        assert_eq!(explain(&error, true, Role::Server(&record)), peers, "it is reported once");
        assert!(reason_at_server(&Error::NoCertificatesPresented).contains("sent no certificate"));
    }

    #[test]
    fn what_two_sides_do_not_have_in_common_is_listed() {
        let why = Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon);
        assert!(reason_at_server(&why).contains("the peer offers no key exchange group"));
        let why = Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon);
        assert!(reason_at_server(&why).contains("no cipher suite in common"));

        // A peer whose offer was recorded.
        let settings = config::Tls::default();
        let server = server::server_config(&settings, None).unwrap();
        let client = client_config();
        let name = client::server_name("localhost").unwrap();
        let (mut plain, mut hello, mut answer) = Default::default();
        let mut client = Transport::tls_client(client, name).unwrap();
        client.open(&mut [], &mut plain, &mut hello).unwrap();
        let hello: &mut Scratch = &mut hello;
        let mut session = Transport::tls_server(server.clone()).unwrap();
        session.open(&mut hello.filled().to_vec(), &mut plain, &mut answer).unwrap();
        let why = Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon);
        let reason = text(&explain(&why, true, Role::Server(&server.record)));
        assert!(
            reason.contains("no key exchange group in common: the peer offers X25519"),
            "{reason}"
        );
    }

    #[test]
    fn a_general_error_is_ours_unless_it_is_about_the_peers_offer() {
        let of = |text: &str| reason_at_server(&Error::General(text.into()));
        assert!(of("incompatible signing key").contains("accepts no signature scheme"));
        assert!(of("no entropy").starts_with("tls-local: "));
    }

    #[test]
    fn each_violation_of_the_protocol_is_described() {
        let message = Error::InappropriateMessage {
            expect_types: vec![ContentType::Handshake, ContentType::Alert],
            got_type: ContentType::Unknown(99),
        };
        for (error, detail) in [
            (
                Error::InvalidMessage(InvalidMessage::MissingData("Random")),
                "the peer sent a malformed message: missing data (Random)",
            ),
            (
                Error::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments),
                "the peer broke the rules of TLS: too many empty fragments",
            ),
            (message, "the peer sent message type 99 instead of Handshake or Alert"),
            (Error::DecryptError, "what the peer sent cannot be decrypted"),
            (Error::PeerSentOversizedRecord, "the peer sent a record that is too long"),
            (
                Error::NoApplicationProtocol,
                "the peer offers no application protocol (ALPN) that is known here",
            ),
            (Error::UnsupportedNameType, "the peer sent a server name of an unknown type"),
        ] {
            assert_eq!(reason_at_server(&error), format!("tls-peer: {detail}"));
        }
    }

    #[test]
    fn a_key_that_does_not_belong_to_the_certificate_is_our_fault() {
        let of = |why| reason_at_server(&Error::InconsistentKeys(why));
        let detail = "the key does not belong to the certificate";
        assert_eq!(of(InconsistentKeys::KeyMismatch), format!("tls-local: {detail}"));
        let detail = "the key may not belong to the certificate";
        assert_eq!(of(InconsistentKeys::Unknown), format!("tls-local: {detail}"));
    }

    #[test]
    fn abbreviations_keep_their_spelling() {
        assert_eq!(words("NoTlsPskEchEcKx"), "no TLS PSK ECH EC key exchange");
        assert_eq!(words("Tls12OrTls13"), "TLS 1.2 or TLS 1.3");
    }

    #[test]
    fn names_of_rustls_errors_become_words() {
        assert_eq!(alert_name(AlertDescription::UnknownPSKIdentity), "unknown_psk_identity");
        assert_eq!(alert_name(AlertDescription::BadRecordMac), "bad_record_mac");
        assert_eq!(alert_name(AlertDescription::UnknownCA), "unknown_ca");
        assert_eq!(alert_name(AlertDescription::Unknown(200)), "number 200");
        let how = PeerMisbehaved::AttemptedDowngradeToTls12WhenTls13IsSupported;
        let spelled = "attempted downgrade to TLS 1.2 when TLS 1.3 is supported";
        assert_eq!(words(&format!("{how:?}")), spelled);
        let what = InvalidMessage::MissingData("Random");
        assert_eq!(words(&format!("{what:?}")), "missing data (Random)");
        assert_eq!(words(&format!("{:?}", InvalidMessage::InvalidCcs)), "invalid ChangeCipherSpec");
    }
}
