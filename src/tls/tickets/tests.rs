//! What is sealed, what is opened, and what is not.

use std::sync::Mutex;

use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::*;
use crate::config::{self, CipherSuite, KeyExchangeGroup};
use crate::tls::provider::provider;
use crate::tls::roots::Root;

const DAY: u64 = 24 * 60 * 60;

/// When the keys of these tests were made.
const MADE: u64 = 1_800_000_000;

/// Three keys, numbered from `first` on.
fn keys(first: u8) -> TicketKeys {
    let line = |number: u8| {
        let bytes: Vec<u8> = (0..80).map(|place| place ^ number).collect();
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes) + "\n"
    };
    let text: String = (first..first + 3).map(line).collect();
    let file = KeyFile::parse(text.as_bytes(), MADE).unwrap();
    TicketKeys { watch: Watch::new(Path::new("tickets"), MADE).into(), file }
}

/// A session of rustls for `name` with a client's `chain`, in rustls's form.
fn session(name: Option<&str>, chain: &[&[u8]]) -> Vec<u8> {
    let number = |length: usize| u32::try_from(length).unwrap().to_be_bytes()[1..].to_vec();
    let mut bytes = vec![u8::from(name.is_some())];
    if let Some(name) = name {
        bytes.push(name.len().try_into().unwrap());
        bytes.extend(name.as_bytes());
    }
    bytes.extend([3, 4, 0x13, 1, 2, 7, 7, 0, u8::from(!chain.is_empty())]);
    if !chain.is_empty() {
        let all: Vec<u8> =
            chain.iter().flat_map(|it| [number(it.len()), it.to_vec()].concat()).collect();
        bytes.extend([number(all.len()), all].concat());
    }
    bytes.extend([0, 0, 0, 0, 0, 0, 0]);
    bytes
}

/// A certificate for `names`, and what is in `change`.
fn certificate(
    names: &[&str],
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateDer<'static> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    change(&mut params);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

/// A CA that is valid until then, in seconds since 1970.
fn authority(end: u64) -> Root {
    let certificate = certificate(&[], |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = (UNIX_EPOCH + Duration::from_secs(end)).into();
    });
    Root::new(certificate, "ca.pem".into()).unwrap()
}

fn listener<'a>(settings: &'a config::Tls, authorities: &'a [Root]) -> Rules<'a> {
    Rules { listener: "tls", protocol: None, settings, authorities }
}

/// The tickets of a listener called "tls" that asks nothing, with the keys from `first` on.
fn plain_tickets(first: u8, certificate: &CertificateDer<'static>, lasting: bool) -> Tickets {
    let settings = config::Tls::default();
    keys(first).tickets(&listener(&settings, &[]), certificate, lasting).unwrap()
}

#[test]
fn another_daemon_with_the_same_file_and_rules_opens_a_ticket() {
    let certificate = certificate(&["alex.local"], |_| {});
    let [one, other] = [0; 2].map(|first| plain_tickets(first, &certificate, true));
    let plain = session(None, &[]);
    let ticket = one.seal_at(&plain, MADE).unwrap();
    assert_eq!(other.open_at(&ticket, MADE), Some(plain.clone()));
    assert_ne!(one.seal_at(&plain, MADE).unwrap(), ticket, "the nonce is random");
    // The names of the file are in no ticket.
    for key in &keys(0).file.keys {
        assert!(!ticket.windows(16).any(|part| part == key.name()));
    }
}

#[test]
fn a_key_opens_from_the_first_to_the_last_rotation_and_seals_in_between() {
    let certificate = certificate(&[], |_| {});
    let plain = session(None, &[]);
    // Files that begin with key 0, 1, 2 and 3.
    let tickets = [0, 1, 2, 3].map(|first| plain_tickets(first, &certificate, true));
    let ticket = tickets[1].seal_at(&plain, MADE).unwrap();
    // It is sealed with key 2.
    let opened = tickets.each_ref().map(|it| it.open_at(&ticket, MADE).is_some());
    assert_eq!(opened, [true, true, true, false]);
}

#[test]
fn tickets_of_other_rules_are_not_opened() {
    let certificate = certificate(&[], |_| {});
    let (ca, other_ca) = (authority(MADE + 100 * DAY), authority(MADE + 100 * DAY));
    let asks = |required| config::Tls {
        client_ca: Some(config::ClientCa { file: "ca.pem".into(), required }),
        ..config::Tls::default()
    };
    let (nothing, required, optional) = (config::Tls::default(), asks(true), asks(false));
    let only_tls13 = config::Tls { only_tls13: true, ..config::Tls::default() };
    let suites = |list: &[CipherSuite]| config::Tls {
        cipher_suites: Some(list.to_vec()),
        ..config::Tls::default()
    };
    let one_suite = suites(&[CipherSuite::TLS_AES_128_GCM_SHA256]);
    let other_suite = suites(&[CipherSuite::TLS_AES_256_GCM_SHA384]);
    let one_group =
        config::Tls { groups: vec![KeyExchangeGroup::X25519], ..config::Tls::default() };
    let cas = [ca.clone(), other_ca.clone()];
    let all = [
        listener(&nothing, &[]),
        Rules { listener: "tls2", ..listener(&nothing, &[]) },
        Rules { protocol: Some("http/1.1"), ..listener(&nothing, &[]) },
        // The end of one field is not the beginning of the next.
        Rules { listener: "tl", protocol: Some("s"), ..listener(&nothing, &[]) },
        listener(&required, &cas[..1]),
        listener(&required, &cas[1..]),
        listener(&required, &cas),
        listener(&optional, &cas[..1]),
        listener(&only_tls13, &[]),
        listener(&one_suite, &[]),
        listener(&other_suite, &[]),
        listener(&one_group, &[]),
    ];
    let tickets = all.map(|rules| keys(0).tickets(&rules, &certificate, true).unwrap());
    let plain = session(None, &[]);
    for (place, sealing) in tickets.iter().enumerate() {
        let ticket = sealing.seal_at(&plain, MADE).unwrap();
        let opening = tickets.iter().map(|it| it.open_at(&ticket, MADE).is_some());
        let opening: Vec<usize> = opening.enumerate().filter(|it| it.1).map(|it| it.0).collect();
        assert_eq!(opening, [place]);
    }
    // The order of the CAs, and where they are read from, make no difference.
    let moved = config::Tls {
        client_ca: Some(config::ClientCa { file: "other.pem".into(), required: true }),
        ..config::Tls::default()
    };
    let reversed = [other_ca, ca];
    let same = keys(0).tickets(&listener(&moved, &reversed), &certificate, true).unwrap();
    let ticket = same.seal_at(&plain, MADE).unwrap();
    assert!(tickets[6].open_at(&ticket, MADE).is_some());
}

#[test]
fn a_ticket_ends_after_12_hours_and_with_its_key() {
    let certificate = certificate(&[], |_| {});
    let tickets = plain_tickets(0, &certificate, true);
    let plain = session(None, &[]);
    let sealed = tickets.seal_at(&plain, MADE).unwrap();
    assert!(tickets.open_at(&sealed, MADE + DAY / 2 - 1).is_some());
    assert!(tickets.open_at(&sealed, MADE + DAY / 2).is_none());
    // Sealed in the last hour of the key.
    let late = MADE + 7 * DAY - 3600;
    let sealed = tickets.seal_at(&plain, late).unwrap();
    assert!(tickets.open_at(&sealed, late + 3599).is_some());
    assert!(tickets.open_at(&sealed, late + 3600).is_none());
    // Before its date, and after its end.
    for now in [MADE - DAY - 1, MADE + 7 * DAY] {
        assert!(tickets.seal_at(&plain, now).is_none());
        assert!(tickets.open_at(&sealed, now).is_none());
    }
}

#[test]
fn another_certificate_resumes_only_under_a_name_that_it_has() {
    let shown = certificate(&["alex.local", "pi1.local"], |_| {});
    let other = certificate(&["alex.local", "*.epp.com"], |_| {});
    let sealing = plain_tickets(0, &shown, true);
    for (name, same, another, temporary) in [
        (Some("alex.local"), true, true, false),
        (Some("www.epp.com"), true, true, false),
        (Some("pi1.local"), true, false, false),
        (None, true, false, false),
    ] {
        let ticket = sealing.seal_at(&session(name, &[]), MADE).unwrap();
        let opens = |certificate, lasting| {
            plain_tickets(0, certificate, lasting).open_at(&ticket, MADE).is_some()
        };
        assert_eq!(opens(&shown, true), same, "{name:?}");
        assert_eq!(opens(&other, true), another, "{name:?}");
        assert_eq!(opens(&other, false), temporary, "{name:?}");
    }
}

#[test]
fn a_session_with_a_certificate_ends_with_its_chain_and_the_cas_that_are_valid() {
    let server = certificate(&[], |_| {});
    let until = |end| {
        certificate(&[], |params| params.not_after = (UNIX_EPOCH + Duration::from_secs(end)).into())
    };
    let settings = config::Tls {
        client_ca: Some(config::ClientCa { file: "ca.pem".into(), required: true }),
        ..config::Tls::default()
    };
    let end = |chain: &[&[u8]], authorities: &[Root]| {
        let tickets = keys(0).tickets(&listener(&settings, authorities), &server, true).unwrap();
        let ticket = tickets.seal_at(&session(None, chain), MADE)?;
        (MADE..=MADE + DAY).step_by(600).find(|now| tickets.open_at(&ticket, *now).is_none())
    };
    let (hour, day) = (MADE + 3600, MADE + DAY);
    let (short, long) = (until(hour), until(day));
    let all = [authority(day)];
    assert_eq!(end(&[&long], &all), Some(MADE + DAY / 2));
    assert_eq!(end(&[&short], &all), Some(hour));
    assert_eq!(end(&[&long, &short], &all), Some(hour));
    assert_eq!(end(&[&long], &[authority(day), authority(hour)]), Some(hour));
    // An expired CA has signed nothing that was accepted.
    assert_eq!(end(&[&long], &[authority(day), authority(MADE - 1)]), Some(MADE + DAY / 2));
    assert_eq!(end(&[b"not a certificate"], &all), None);
    // A session without a certificate does not depend on them.
    assert_eq!(end(&[], &[authority(hour)]), Some(MADE + DAY / 2));
}

#[test]
fn a_ticket_that_would_be_very_long_is_not_given() {
    let settings = config::Tls {
        client_ca: Some(config::ClientCa { file: "ca.pem".into(), required: true }),
        ..config::Tls::default()
    };
    let server = certificate(&[], |_| {});
    let tickets = keys(0).tickets(&listener(&settings, &[]), &server, true).unwrap();
    let client = certificate(&["laptop"], |_| {});
    let chain = |length| vec![client.as_ref(); length];
    assert!(tickets.seal_at(&session(None, &chain(3)), MADE).is_some());
    assert!(tickets.seal_at(&session(None, &chain(100)), MADE).is_none());
}

#[test]
fn the_lifetime_in_a_ticket_is_that_of_the_ticket_or_less() {
    let certificate = certificate(&[], |_| {});
    let lifetime = |age| {
        let mut tickets = plain_tickets(0, &certificate, true);
        tickets.keys.iter_mut().for_each(|key| key.made = now() - age);
        tickets.lifetime()
    };
    assert_eq!(lifetime(0), 43_200);
    assert!((3590..=3600).contains(&lifetime(7 * DAY - 3600)));
    assert_eq!(lifetime(8 * DAY), 0);
}

/// What rustls has sealed.
#[derive(Debug, Default)]
struct Spy(Mutex<Vec<Vec<u8>>>);

impl ProducesTickets for Spy {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        1
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().unwrap().push(plain.to_vec());
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// What rustls seals for a session with `name` in this version, and the client's chain.
fn session_of_rustls(
    version: &'static rustls::SupportedProtocolVersion,
    name: &str,
    shows: bool,
) -> (Vec<u8>, Vec<CertificateDer<'static>>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let roots = Arc::new(roots);
    let identity = |names: Vec<String>| {
        let key = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
        let chain = vec![signed.der().clone(), ca.der().clone()];
        (chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    };
    let (client_chain, client_key) = identity(vec!["laptop".into()]);
    let (server_chain, server_key) = identity(vec![name.into()]);
    let spy = Arc::new(Spy::default());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider(false));
    let mut server = ServerConfig::builder_with_provider(provider(false))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
        .with_single_cert(server_chain, server_key)
        .unwrap();
    server.ticketer = spy.clone();
    let client = ClientConfig::builder_with_provider(provider(false))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let client = if shows {
        client.with_client_auth_cert(client_chain.clone(), client_key).unwrap()
    } else {
        client.with_no_client_auth()
    };
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client.into(), name).unwrap();
    let mut server = ServerConnection::new(server.into()).unwrap();
    while client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets().unwrap();
    }
    let sealed = spy.0.lock().unwrap().pop().unwrap();
    (sealed, if shows { client_chain } else { Vec::new() })
}

#[test]
fn name_and_chain_are_read_from_what_rustls_seals() {
    for version in rustls::ALL_VERSIONS {
        for (name, shows) in [("alex.local", true), ("alex.local", false), ("192.0.2.1", true)] {
            let (sealed, chain) = session_of_rustls(version, name, shows);
            let read = Session::read(&sealed).unwrap();
            // An address is no name (RFC 6066).
            assert_eq!(read.name, Some(name).filter(|name| name.starts_with("alex")));
            assert_eq!(read.chain, chain.iter().map(AsRef::as_ref).collect::<Vec<&[u8]>>());
        }
    }
}

proptest! {
    #[test]
    fn a_changed_ticket_is_not_opened(
        place in 0_usize..1000,
        bits in 1_u8..,
        length in 0_usize..1000,
        rest in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let certificate = CertificateDer::from(vec![1]);
        let tickets = plain_tickets(0, &certificate, true);
        let ticket = tickets.seal_at(&session(Some("alex.local"), &[]), MADE).unwrap();
        let mut changed = ticket.clone();
        let place = place % changed.len();
        changed[place] ^= bits;
        prop_assert!(tickets.open_at(&changed, MADE).is_none());
        let cut = &ticket[..length % ticket.len()];
        prop_assert!(tickets.open_at(cut, MADE).is_none());
        prop_assert!(tickets.open_at(&[cut, &rest].concat(), MADE).is_none() || rest.is_empty());
        prop_assert!(tickets.open_at(&rest, MADE).is_none());
    }

    #[test]
    fn whatever_is_sealed_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Session::read(&bytes);
        let tickets = plain_tickets(0, &CertificateDer::from(vec![1]), true);
        let _ = tickets.seal_at(&bytes, MADE);
    }
}
