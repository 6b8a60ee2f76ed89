//! Headers that are perfect, and those that are not.

use proxy_header::{ProxiedAddress, Tlv};

use super::*;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn client_of(source: &str, destination: &str) -> Origin {
    Origin::Client { source: address(source), destination: address(destination) }
}

/// The header in `whole`, which is the same whatever follows, and not complete before its last byte.
fn complete(whole: &[u8]) -> Header {
    for cut in 0..whole.len() {
        assert_eq!(parse(&whole[..cut]), Ok(None), "{cut} of {:?}", whole.escape_ascii());
    }
    let parsed = parse(whole).unwrap().unwrap();
    assert_eq!(parsed.1, whole.len());
    for behind in [&b"x"[..], b"\r\n", b"PROXY TCP4 ", V2_SIGNATURE] {
        assert_eq!(parse(&[whole, behind].concat()), Ok(Some(parsed.clone())));
    }
    parsed.0
}

/// Why `bytes` are no header.
fn fault(bytes: &[u8]) -> Fault {
    let parsed = parse(bytes);
    parsed.expect_err(&bytes.escape_ascii().to_string())
}

/// A header of version 2 with this command, family and rest.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [V2_SIGNATURE, &[command, family], &length, rest].concat()
}

/// 192.0.2.1:50000 to 192.0.2.7:5000.
const ADDRESSES: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 7, 0xC3, 0x50, 0x13, 0x88];

#[test]
fn a_line_has_two_addresses_and_two_ports() {
    for (line, source, destination) in [
        ("TCP4 192.0.2.1 192.0.2.7 50000 5000", "192.0.2.1:50000", "192.0.2.7:5000"),
        ("TCP4 0.0.0.0 255.255.255.255 0 65535", "0.0.0.0:0", "255.255.255.255:65535"),
        ("TCP6 2001:db8::1 2001:DB8::7 50000 5000", "[2001:db8::1]:50000", "[2001:db8::7]:5000"),
        ("TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.7 1 2", "192.0.2.1:1", "192.0.2.7:2"),
        (
            "TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
        ),
    ] {
        let header = complete(format!("PROXY {line}\r\n").as_bytes());
        assert_eq!((header.version, header.origin), (1, client_of(source, destination)), "{line}");
        assert_eq!(header.details, Details::default());
    }
}

#[test]
fn what_a_line_says_behind_unknown_is_ignored() {
    for rest in ["", " ", " 192.0.2.1 192.0.2.7 1 2", " \x1b[2J", " TCP4"] {
        let header = complete(format!("PROXY UNKNOWN{rest}\r\n").as_bytes());
        assert_eq!(header.origin, Origin::Unnamed, "{rest}");
    }
}

#[test]
fn a_line_that_is_not_perfect_is_refused() {
    for line in [
        "TCP4 192.0.2.1 192.0.2.7 50000",
        "TCP4 192.0.2.1 192.0.2.7 50000 5000 ",
        "TCP4 192.0.2.1 192.0.2.7 50000 5000 1",
        "TCP4  192.0.2.1 192.0.2.7 50000 5000",
        " TCP4 192.0.2.1 192.0.2.7 50000 5000",
        "TCP4 192.0.2.1 192.0.2.7 +50000 5000",
        "TCP4 192.0.2.1 192.0.2.7 50000 05000",
        "TCP4 192.0.2.1 192.0.2.7 65536 5000",
        "TCP4 192.0.2.1 192.0.2.7 50000 -1",
        "TCP4 192.0.2.1 192.0.2.7  5000",
        "TCP4 192.0.2.01 192.0.2.7 50000 5000",
        "TCP4 192.0.2.256 192.0.2.7 50000 5000",
        "TCP4 192.0.2 192.0.2.7 50000 5000",
        "TCP4 2001:db8::1 2001:db8::7 50000 5000",
        "TCP6 192.0.2.1 192.0.2.7 50000 5000",
        "TCP6 fe80::1%2 2001:db8::7 50000 5000",
        "TCP6 2001:db8::1::2 2001:db8::7 50000 5000",
        "UDP4 192.0.2.1 192.0.2.7 50000 5000",
        "tcp4 192.0.2.1 192.0.2.7 50000 5000",
        "UNKNOWNX",
        "unknown",
        "\u{1b}[2J",
        "",
    ] {
        fault(format!("PROXY {line}\r\n").as_bytes());
    }
    for bytes in [
        &b"PROXY UNKNOWN\n"[..],
        b"PROXY UNKNOWN\rX",
        b"PROXY UNKNOWN\r\r\n",
        b"PROXYXUNKNOWN\r\n",
        b"proxy UNKNOWN\r\n",
        b"PROXY\r\n",
    ] {
        fault(bytes);
    }
}

#[test]
fn a_line_has_at_most_107_bytes() {
    let line = |length: usize| format!("PROXY UNKNOWN {:x<1$}\r\n", "", length - 16).into_bytes();
    assert_eq!(line(107).len(), 107);
    assert_eq!(complete(&line(107)).origin, Origin::Unnamed);
    fault(&line(108));
    // As soon as it is certain.
    assert_eq!(parse(&line(108)[..106]), Ok(None));
    fault(&line(108)[..107]);
}

#[test]
fn a_binary_header_has_the_addresses_of_its_family() {
    let header = complete(&binary(0x21, 0x11, &ADDRESSES));
    assert_eq!(
        (header.version, header.origin),
        (2, client_of("192.0.2.1:50000", "192.0.2.7:5000"))
    );
    for (source, destination) in
        [("[2001:db8::1]:50000", "[2001:db8::7]:5000"), ("[::ffff:192.0.2.1]:1", "[::1]:2")]
    {
        let addresses = ProxiedAddress::stream(address(source), address(destination));
        let mut whole = Vec::new();
        ProxyHeader::with_address(addresses).encode_v2(&mut whole).unwrap();
        let source = source.replace("[::ffff:192.0.2.1]", "192.0.2.1");
        assert_eq!(complete(&whole).origin, client_of(&source, destination));
    }
}

#[test]
fn what_a_local_header_says_is_ignored() {
    for (family, rest) in
        [(0x00, &b""[..]), (0x11, &ADDRESSES), (0x11, b"short"), (0xFF, b"x"), (0x21, &[0xFF; 60])]
    {
        let header = complete(&binary(0x20, family, rest));
        assert_eq!((header.origin, header.details), (Origin::Local, Details::default()));
    }
}

#[test]
fn a_proxy_that_names_no_client_of_tcp_is_the_peer_itself() {
    for (family, rest) in [
        (0x00, &b""[..]),
        (0x00, &ADDRESSES),
        (0x12, &ADDRESSES),
        (0x22, &[1; 36]),
        (0x31, &[1; 216]),
        (0x32, &[1; 216]),
    ] {
        let header = complete(&binary(0x21, family, rest));
        assert_eq!((header.origin, header.details), (Origin::Unnamed, Details::default()));
    }
}

#[test]
fn a_binary_header_that_is_not_perfect_is_refused() {
    for (command, family, rest) in [
        (0x11, 0x11, &ADDRESSES[..]),
        (0x31, 0x11, &ADDRESSES),
        (0x22, 0x11, &ADDRESSES),
        (0x2F, 0x00, b""),
        (0x21, 0x10, &ADDRESSES),
        (0x21, 0x13, &ADDRESSES),
        (0x21, 0x41, &ADDRESSES),
        (0x21, 0x11, &ADDRESSES[..11]),
        (0x21, 0x21, &[1; 35]),
        (0x21, 0x31, &[1; 215]),
        (0x21, 0x12, b""),
    ] {
        fault(&binary(command, family, rest));
    }
    for place in 1..V2_SIGNATURE.len() {
        let mut whole = binary(0x21, 0x11, &ADDRESSES);
        whole[place] ^= 1;
        fault(&whole[..=place]);
    }
}

#[test]
fn tlvs_fill_the_header_and_are_what_they_say() {
    let with = |tlvs: &[u8]| binary(0x21, 0x11, &[&ADDRESSES, tlvs].concat());
    for tlvs in [
        &b"\x01"[..],
        b"\x01\x00",
        b"\x01\x00\x03ab",
        b"\x04\x00\x00\x01",
        b"\x02\x00\x02\xFF\xFE",
        b"\x20\x00\x04\x01\0\0\0",
        b"\x20\x00\x08\x01\0\0\0\0\x21\x00\x02",
        b"\x03\x00\x03\0\0\0",
    ] {
        fault(&with(tlvs));
    }
    for tlvs in [&b""[..], b"\x04\x00\x00", b"\xEE\x00\x02\xFF\xFE", b"\x20\x00\x05\0\0\0\0\x01"] {
        complete(&with(tlvs));
    }
}

#[test]
fn a_header_of_version_2_has_at_most_4096_bytes() {
    let padded = |length: usize| {
        let padding = length - V2_FIXED - ADDRESSES.len() - 3;
        let [high, low] = u16::try_from(padding).unwrap().to_be_bytes();
        let tlv = [&[4, high, low], &vec![0; padding][..]].concat();
        binary(0x21, 0x11, &[&ADDRESSES[..], &tlv].concat())
    };
    assert_eq!(padded(4096).len(), 4096);
    assert!(parse(&padded(4096)).unwrap().is_some());
    // As soon as its length has come.
    fault(&padded(4097)[..V2_FIXED]);
    fault(&binary(0x20, 0, &[0; 4081])[..V2_FIXED]);
}

/// A header with these TLVs, and a right checksum.
fn with_tlvs(tlvs: Vec<Tlv<'_>>) -> Vec<u8> {
    let addresses = ProxiedAddress::stream(address("192.0.2.1:1"), address("192.0.2.7:2"));
    let mut all = tlvs;
    all.push(Tlv::Crc32c(0));
    let mut whole = Vec::new();
    ProxyHeader::with_tlvs(Some(addresses), all).encode_v2(&mut whole).unwrap();
    let sum = checksum(&whole).unwrap().to_be_bytes();
    let end = whole.len();
    whole[end - 4..].copy_from_slice(&sum);
    whole
}

#[test]
fn the_checksum_is_that_of_the_specification() {
    assert_eq!(crc32c(b"123456789".iter().copied()), 0xE306_9283);
    let whole = with_tlvs(vec![Tlv::Noop(2)]);
    complete(&whole);
    // The types of the two TLVs tell whether there is a checksum.
    for place in (V2_FIXED..whole.len()).filter(|place| ![28, 33].contains(place)) {
        let mut changed = whole.clone();
        changed[place] ^= 0x10;
        assert!(!matches!(parse(&changed), Ok(Some(_))), "{place}");
    }
}

#[test]
fn what_tlvs_say_is_escaped_and_bounded() {
    let long = "a".repeat(300);
    let mut ssl = SslInfo::new(true, true, false, 0);
    ssl.append_tlv(Tlv::SslVersion("TLSv1.3".into()));
    ssl.append_tlv(Tlv::SslCipher("TLS_AES_128_GCM_SHA256".into()));
    ssl.append_tlv(Tlv::SslCn("\x1b[2J".into()));
    let whole = with_tlvs(vec![
        Tlv::Authority(long.as_str().into()),
        Tlv::UniqueId(b"id\n\"1\""[..].into()),
        Tlv::Alpn(b"\xFFh2"[..].into()),
        Tlv::Noop(7),
        Tlv::Ssl(ssl),
        Tlv::Netns("ns".into()),
        Tlv::Custom(0xE0, b"own"[..].into()),
    ]);
    let details = complete(&whole).details;
    assert_eq!(details.authority.map(|it| it.len()), Some(255));
    assert_eq!(details.unique_id.as_deref(), Some("id\\u{a}\"1\""));
    assert_eq!(details.alpn.as_deref(), Some("\\xffh2"));
    let ssl = details.ssl.unwrap();
    assert!(ssl.is_used && ssl.has_certificate && ssl.is_verified);
    assert_eq!(ssl.version.as_deref(), Some("TLSv1.3"));
    assert_eq!(ssl.cipher.as_deref(), Some("TLS_AES_128_GCM_SHA256"));
    assert_eq!(ssl.common_name.as_deref(), Some("\\u{1b}[2J"));
}

#[test]
fn a_certificate_is_verified_only_if_there_is_one() {
    for (flags, verify, has, verified) in [
        ((true, false, false), 0, false, false),
        ((true, true, false), 0, true, true),
        ((true, false, true), 0, true, true),
        ((true, true, false), 1, true, false),
    ] {
        let ssl = Ssl::new(&SslInfo::new(flags.0, flags.1, flags.2, verify));
        assert_eq!((ssl.has_certificate, ssl.is_verified), (has, verified), "{flags:?} {verify}");
    }
}

#[test]
fn a_second_header_is_known_by_its_whole_signature() {
    for bytes in [
        &b"PROXY TCP4 192.0.2.1 192.0.2.7 1 2\r\n"[..],
        b"PROXY TCP6 ",
        b"PROXY UNKNOWN\r\n",
        &binary(0x21, 0x11, &ADDRESSES),
        V2_SIGNATURE,
    ] {
        assert!(is_second_header(bytes), "{}", bytes.escape_ascii());
    }
    for bytes in
        [&b""[..], b"P", b"PROXY", b"PROXY TCP", b"PROXY war", b"\r\n\r\n", b"xPROXY TCP4 "]
    {
        assert!(!is_second_header(bytes), "{}", bytes.escape_ascii());
    }
}
