//! Any bytes for a listener that expects a header of the PROXY protocol, as they come byte by byte.
#![no_main]

use std::net::{IpAddr, SocketAddr};

use echo_alex::testing::proxy::{Details, Header, Origin, V1_MAX, V2_MAX, is_second_header, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    let first = (0..=bytes.len()).find(|end| parse(&bytes[..*end]) != Ok(None));
    match first {
        None => {
            let most = if bytes.starts_with(b"P") { V1_MAX } else { V2_MAX };
            assert!(bytes.len() < most, "{} bytes are held", bytes.len());
            assert_eq!(whole, Ok(None));
        }
        // What was decided stays so, whatever follows.
        Some(end) => assert_eq!(whole, parse(&bytes[..end])),
    }
    let Ok(Some((header, length))) = whole else { return };
    assert_eq!(Some(length), first, "it was complete before");
    assert!(length <= if header.version == 1 { V1_MAX } else { V2_MAX });
    check(&header);
    // A header is one that is refused behind another.
    assert!(is_second_header(&bytes[..length]));
});

/// What a header says is bounded and safe to print, and the same in the other form.
fn check(header: &Header) {
    let Header { version, origin, details } = header;
    let Details { authority, unique_id, alpn, ssl } = details;
    let of_ssl = ssl.iter().flat_map(|ssl| [&ssl.version, &ssl.cipher, &ssl.common_name]);
    for text in [authority, unique_id, alpn].into_iter().chain(of_ssl).flatten() {
        assert!(text.chars().count() <= 255 && !text.contains(char::is_control), "{text:?}");
    }
    let Origin::Client { source, destination } = origin else {
        assert_eq!(*details, Details::default());
        return;
    };
    assert!(*version == 2 || *details == Details::default());
    // Where one was IPv4-mapped, they may differ.
    if source.is_ipv4() == destination.is_ipv4() {
        let again = parse(&encoded(source, destination));
        let header = Header { version: 2, origin: origin.clone(), details: Details::default() };
        assert_eq!(again.map(|it| it.map(|(header, _)| header)), Ok(Some(header)));
    }
}

/// A header of version 2.
fn encoded(source: &SocketAddr, destination: &SocketAddr) -> Vec<u8> {
    let ends = [source, destination];
    let octets = |end: &SocketAddr| match end.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let addresses = ends.map(octets).concat();
    let ports = ends.map(|end| end.port().to_be_bytes()).concat();
    let (family, length) = if source.is_ipv4() { (0x11, 12) } else { (0x21, 36) };
    [b"\r\n\r\n\0\r\nQUIT\n!", &[family, 0, length][..], &addresses, &ports].concat()
}
