//! What an error of rustls means for a session, in words for the log: rustls writes its own for
//! programmers. Nothing of the peer's is in them but numbers.

use rustls::crypto::CryptoProvider;
use rustls::{
    AlertDescription, Error, HandshakeType, InconsistentKeys, InvalidMessage, PeerIncompatible,
};

use crate::tls::handshake::{Offer, Witness};
use crate::tls::verification;
use crate::wire::close::CloseReason;

/// Which side we are, with what it knows of the handshake.
#[derive(Clone, Copy)]
pub(super) enum Us<'a> {
    Server(&'a Witness),
    Client(&'a CryptoProvider),
}

impl Us<'_> {
    /// What we take, or offer.
    fn offer(self) -> Offer {
        match self {
            Self::Server(witness) => witness.ours.clone(),
            Self::Client(provider) => Offer::of_client(provider),
        }
    }
}

/// What `error` means; in a handshake, it may mean more.
pub(super) fn explain(error: &Error, handshaking: bool, us: Us<'_>) -> CloseReason {
    let peer = |text: &str| CloseReason::TlsPeer(text.into());
    match error {
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) if handshaking => CloseReason::NotTls,
        // Our own ClientHello: the peer is a plain echo server.
        Error::InappropriateHandshakeMessage {
            expect_types,
            got_type: HandshakeType::ClientHello,
        } if expect_types.contains(&HandshakeType::ServerHello) => CloseReason::NotTls,
        Error::InvalidMessage(what) => {
            peer(&format!("the peer sent a malformed message: {}", words(&format!("{what:?}"))))
        }
        Error::AlertReceived(alert) => alert_received(*alert, handshaking, us),
        Error::NoCertificatesPresented => {
            peer("the peer sent no certificate, and client-auth is \"required\"")
        }
        Error::InvalidCertificate(error) => match us {
            Us::Server(witness) => match witness.take_fault_of_ours() {
                Some(fault) => CloseReason::TlsLocal(fault.into()),
                None => peer(&verification::peers_fault(error)),
            },
            Us::Client(_) => peer(&verification::peers_fault(error)),
        },
        Error::PeerIncompatible(why) => peer(&incompatible(why, us)),
        // In TLS 1.2 rustls has no type for this.
        Error::General(text) if text == "incompatible signing key" => {
            peer(&incompatible(&PeerIncompatible::NoSignatureSchemesInCommon, us))
        }
        Error::PeerMisbehaved(how) => {
            peer(&format!("the peer broke the rules of TLS: {}", words(&format!("{how:?}"))))
        }
        Error::InappropriateMessage { expect_types, got_type } => peer(&out_of_turn(
            (got_type.as_str(), u8::from(*got_type)),
            expect_types.iter().map(|it| (it.as_str(), u8::from(*it))),
        )),
        Error::InappropriateHandshakeMessage { expect_types, got_type } => peer(&out_of_turn(
            (got_type.as_str(), u8::from(*got_type)),
            expect_types.iter().map(|it| (it.as_str(), u8::from(*it))),
        )),
        Error::DecryptError => peer("what the peer sent cannot be decrypted"),
        Error::PeerSentOversizedRecord => peer("the peer sent a record that is too long"),
        Error::NoApplicationProtocol => peer("the peer wants another protocol within TLS"),
        Error::UnsupportedNameType => peer("the peer's name is of a kind that is not known here"),
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            CloseReason::TlsLocal("the key is not the certificate's".into())
        }
        Error::InconsistentKeys(_) => {
            CloseReason::TlsLocal("the key may not be the certificate's".into())
        }
        Error::EncryptError
        | Error::General(_)
        | Error::FailedToGetCurrentTime
        | Error::FailedToGetRandomBytes
        | Error::HandshakeNotComplete
        | Error::BadMaxFragmentSize
        | Error::Other(_) => CloseReason::TlsLocal(error.to_string().into()),
        // Lists of revoked certificates and the encrypted ClientHello, which are not in use here.
        _ => peer("the peer speaks TLS in a way that is not known here"),
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
            // GnuTLS says so of a certificate that it does not trust.
            | AlertDescription::AccessDenied
    )
}

fn alert_received(alert: AlertDescription, handshaking: bool, us: Us<'_>) -> CloseReason {
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
    CloseReason::TlsPeer(match (us, alert) {
        (
            Us::Client(_),
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity,
        ) if handshaking => {
            let ours = us.offer();
            format!(
                "the server has nothing in common with what we offer (alert {name}): {}, cipher \
                 suites {}, groups {}, signatures {}",
                ours.versions(),
                ours.suites,
                ours.groups,
                ours.schemes
            )
            .into()
        }
        (Us::Client(_), AlertDescription::ProtocolVersion) if handshaking => format!(
            "the server takes none of the versions that we offer (alert {name}): {}",
            us.offer().versions()
        )
        .into(),
        _ => format!("the peer sent the alert {name}").into(),
    })
}

/// What the two sides do not have in common, and what each of them has, as far as it is known.
fn incompatible(why: &PeerIncompatible, us: Us<'_>) -> String {
    let ours = us.offer();
    let theirs = match us {
        Us::Server(witness) => Some(witness.theirs()),
        Us::Client(_) => None,
    };
    match (why, theirs) {
        (PeerIncompatible::NoCipherSuitesInCommon, Some(theirs)) => format!(
            "no cipher suite in common: the peer offers {}; we take {}",
            theirs.suites, ours.suites
        ),
        // Then the keys are exchanged in another way, which belongs to the suite.
        (PeerIncompatible::NoKxGroupsInCommon, Some(theirs)) if theirs.groups.is_empty() => {
            format!(
                "the peer offers no key exchange group, only the cipher suites {}; we take {}, and the \
             groups {}",
                theirs.suites, ours.suites, ours.groups
            )
        }
        (PeerIncompatible::NoKxGroupsInCommon, Some(theirs)) => format!(
            "no key exchange group in common: the peer offers {}; we take {}",
            theirs.groups, ours.groups
        ),
        (PeerIncompatible::NoSignatureSchemesInCommon, Some(theirs)) => format!(
            "the peer takes no signature that our key can make: it takes {}, and our key makes {}",
            theirs.schemes, ours.schemes
        ),
        (PeerIncompatible::Tls12NotOffered, _) => {
            format!("the peer offers TLS 1.1 at most, and we take {}", ours.versions())
        }
        (PeerIncompatible::SupportedVersionsExtensionRequired, Some(_)) => {
            format!("the peer offers TLS 1.2 at most, and we take {}", ours.versions())
        }
        (PeerIncompatible::Tls12NotOfferedOrEnabled, _) => {
            format!("the peer offers none of the versions that we take: {}", ours.versions())
        }
        (PeerIncompatible::SignatureAlgorithmsExtensionRequired, _) => format!(
            "the peer names no signature algorithms, as before TLS 1.2; we take {}",
            ours.versions()
        ),
        (
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            _,
        ) => format!("the server wants a version of TLS other than {}", ours.versions()),
        // It carries bytes of the peer; and nothing of the kind is asked for here.
        (PeerIncompatible::ServerRejectedEncryptedClientHello(_), _) => {
            "the server refuses an encrypted ClientHello".into()
        }
        (why, _) => format!("the peer is not compatible: {}", words(&format!("{why:?}"))),
    }
}

/// A message that is not due, by its name or else its number.
fn out_of_turn(
    got: (Option<&'static str>, u8),
    due: impl Iterator<Item = (Option<&'static str>, u8)>,
) -> String {
    let name = |(name, number): (Option<&str>, u8)| {
        name.map_or_else(|| format!("message type {number}"), Into::into)
    };
    let due: Vec<String> = due.map(name).collect();
    format!("the peer sent {} where {} was due", name(got), due.join(" or "))
}

/// An alert as RFC 8446 §6 spells it.
fn alert_name(alert: AlertDescription) -> String {
    match alert.as_str() {
        Some(name) => split(name).join("_").to_lowercase(),
        None => format!("number {}", u8::from(alert)),
    }
}

/// What a name of rustls's says, such as `MissingData("Random")`: "missing data (Random)". There are
/// a hundred of them, and they are made for nothing but to say what happened.
fn words(name: &str) -> String {
    let (name, detail) = match name.split_once('(') {
        Some((name, detail)) => (name, detail.trim_end_matches(')').trim_matches('"')),
        None => (name, ""),
    };
    let spelled = split(name).into_iter().map(|word| match word {
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

/// `UnknownPSKIdentity` as Unknown, PSK, Identity.
fn split(name: &str) -> Vec<&str> {
    let bytes = name.as_bytes();
    let begins = |place: usize| {
        let is_upper = |place: usize| bytes.get(place).is_some_and(u8::is_ascii_uppercase);
        let is_lower = |place: usize| bytes.get(place).is_some_and(u8::is_ascii_lowercase);
        is_upper(place) && (!is_upper(place - 1) || is_lower(place + 1))
    };
    let mut parts = Vec::new();
    let mut start = 0;
    for place in (1..bytes.len()).filter(|place| begins(*place)) {
        parts.extend(name.get(start..place));
        start = place;
    }
    parts.extend(name.get(start..));
    parts
}

#[cfg(test)]
mod tests {
    use rustls::{CertificateError, ContentType, PeerMisbehaved};

    use super::*;
    use crate::config;
    use crate::tls::{client, provider, server};
    use crate::wire::buffers::Scratch;
    use crate::wire::transport::Transport;

    fn provider() -> CryptoProvider {
        provider::provider(true).as_ref().clone()
    }

    /// A server's side that has heard of no peer.
    fn witness() -> Witness {
        Witness::new(Offer::of_client(&provider()))
    }

    /// What an error says, and of whom, on a server's side within a handshake.
    fn told(error: &Error) -> String {
        explain(error, true, Us::Server(&witness())).to_string()
    }

    #[test]
    fn what_is_no_record_is_not_tls_before_a_handshake_and_malformed_behind_it() {
        let error = Error::InvalidMessage(InvalidMessage::InvalidContentType);
        let witness = witness();
        assert_eq!(explain(&error, true, Us::Server(&witness)), CloseReason::NotTls);
        let reason = explain(&error, false, Us::Server(&witness)).to_string();
        assert_eq!(
            reason,
            r#"tls-peer detail="the peer sent a malformed message: invalid content type""#
        );
    }

    #[test]
    fn our_own_first_message_comes_back_from_an_echo_server_without_tls() {
        let of = |expected| {
            told(&Error::InappropriateHandshakeMessage {
                expect_types: vec![expected],
                got_type: HandshakeType::ClientHello,
            })
        };
        assert!(of(HandshakeType::ServerHello).starts_with("not-tls "));
        let detail = "the peer sent ClientHello where Finished was due";
        assert_eq!(of(HandshakeType::Finished), format!("tls-peer detail={detail:?}"));
    }

    #[test]
    fn an_alert_about_certificates_is_a_refusal_with_its_cause() {
        let of = |alert| match explain(&Error::AlertReceived(alert), true, Us::Server(&witness())) {
            CloseReason::CertificateRefused(text) => text,
            reason => panic!("{alert:?}: {reason}"),
        };
        assert!(of(AlertDescription::UnknownCA).contains("does not know the CA"));
        assert!(of(AlertDescription::CertificateRequired).contains("asks for a certificate"));
        assert!(of(AlertDescription::CertificateExpired).contains("has expired"));
        assert!(of(AlertDescription::BadCertificate).ends_with("(alert bad_certificate)"));
    }

    #[test]
    fn an_alert_about_what_a_client_offers_says_it_and_any_other_its_name() {
        let provider = provider();
        let of = |alert, handshaking| {
            explain(&Error::AlertReceived(alert), handshaking, Us::Client(&provider)).to_string()
        };
        let reason = of(AlertDescription::HandshakeFailure, true);
        assert!(reason.contains("nothing in common with what we offer"), "{reason}");
        let reason = of(AlertDescription::ProtocolVersion, true);
        assert!(reason.contains("none of the versions that we offer"), "{reason}");
        for (alert, handshaking, name) in [
            (AlertDescription::HandshakeFailure, false, "handshake_failure"),
            (AlertDescription::ProtocolVersion, false, "protocol_version"),
            (AlertDescription::DecodeError, true, "decode_error"),
        ] {
            let detail = format!("the peer sent the alert {name}");
            assert_eq!(of(alert, handshaking), format!("tls-peer detail={detail:?}"));
        }
    }

    #[test]
    fn a_refused_certificate_is_the_peers_fault_unless_our_ca_is_out_of_date() {
        let error = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let peers = verification::peers_fault(&CertificateError::UnknownIssuer);
        let peers = CloseReason::TlsPeer(peers.into());
        let (witness, provider) = (witness(), provider());
        assert_eq!(explain(&error, true, Us::Client(&provider)), peers);
        assert_eq!(explain(&error, true, Us::Server(&witness)), peers);
        witness.our_ca_is_out_of_date("it ended".into());
        let ours = explain(&error, true, Us::Server(&witness));
        assert_eq!(ours, CloseReason::TlsLocal("it ended".into()));
        assert_eq!(explain(&error, true, Us::Server(&witness)), peers, "it is told once");
        assert!(told(&Error::NoCertificatesPresented).contains("sent no certificate"));
    }

    #[test]
    fn what_two_sides_do_not_have_in_common_is_listed() {
        let why = Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon);
        assert!(told(&why).contains("the peer offers no key exchange group"));
        let why = Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon);
        assert!(told(&why).contains("no cipher suite in common"));

        // A peer whose offer was heard.
        let settings = config::Tls { identity: None, client_ca: None, only_tls13: false };
        let server = server::server_config(&settings).unwrap();
        let trust = client::Trust::Anything;
        let settings = client::Settings { trust, identity: None, resumes: false };
        let client = client::client_config(&settings).unwrap().0;
        let name = client::server_name("localhost").unwrap();
        let (mut plain, mut hello, mut answer) = Default::default();
        let mut client = Transport::tls_client(client, name).unwrap();
        client.open(&mut [], &mut plain, &mut hello).unwrap();
        let hello: &mut Scratch = &mut hello;
        let mut session = Transport::tls_server(server.clone()).unwrap();
        session.open(&mut hello.filled().to_vec(), &mut plain, &mut answer).unwrap();
        let why = Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon);
        let reason = explain(&why, true, Us::Server(&server.witness)).to_string();
        assert!(
            reason.contains("no key exchange group in common: the peer offers X25519"),
            "{reason}"
        );
    }

    #[test]
    fn a_general_error_is_ours_unless_it_is_about_what_the_peer_offers() {
        let of = |text: &str| told(&Error::General(text.into()));
        assert!(of("incompatible signing key").contains("takes no signature"));
        assert!(of("no entropy").starts_with("tls-local "));
    }

    #[test]
    fn each_breach_of_the_protocol_has_its_words() {
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
            (message, "the peer sent message type 99 where Handshake or Alert was due"),
            (Error::DecryptError, "what the peer sent cannot be decrypted"),
            (Error::PeerSentOversizedRecord, "the peer sent a record that is too long"),
            (Error::NoApplicationProtocol, "the peer wants another protocol within TLS"),
            (Error::UnsupportedNameType, "the peer's name is of a kind that is not known here"),
        ] {
            assert_eq!(told(&error), format!("tls-peer detail={detail:?}"));
        }
    }

    #[test]
    fn a_key_that_is_not_the_certificates_is_our_fault() {
        let of = |why| told(&Error::InconsistentKeys(why));
        let detail = "the key is not the certificate's";
        assert_eq!(of(InconsistentKeys::KeyMismatch), format!("tls-local detail={detail:?}"));
        let detail = "the key may not be the certificate's";
        assert_eq!(of(InconsistentKeys::Unknown), format!("tls-local detail={detail:?}"));
    }

    #[test]
    fn abbreviations_stay_what_they_are() {
        assert_eq!(words("NoTlsPskEchEcKx"), "no TLS PSK ECH EC key exchange");
        assert_eq!(words("Tls12OrTls13"), "TLS 1.2 or TLS 1.3");
    }

    #[test]
    fn names_of_rustls_become_words() {
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
