//! The journal: a socket in its place, and its protocol.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::PATIENCE;

/// The fields of a line, each with its values.
pub type Fields = BTreeMap<String, Vec<String>>;

/// A log daemon at `path`, which takes datagrams.
pub fn log_daemon(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The fields of a datagram: `NAME=value`, or `NAME`, the length as 64 bits and the value.
pub fn fields(datagram: &[u8]) -> Fields {
    let mut fields = Fields::new();
    let mut rest = datagram;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').expect("the end of a field");
        let (line, behind) = (&rest[..end], &rest[end + 1..]);
        let (name, value) = if let Some(place) = line.iter().position(|byte| *byte == b'=') {
            rest = behind;
            (&line[..place], &line[place + 1..])
        } else {
            let (length, behind) = behind.split_first_chunk().unwrap();
            let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
            assert_eq!(behind[length], b'\n');
            rest = &behind[length + 1..];
            (line, &behind[..length])
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        fields.entry(text(name)).or_default().push(text(value));
    }
    fields
}

/// The next line at the journal that fits.
pub fn wait_for_fields(journal: &UnixDatagram, fits: impl Fn(&Fields) -> bool) -> Fields {
    let mut buffer = [0; 8192];
    loop {
        let length = journal.recv(&mut buffer).expect("no such line at the journal");
        let fields = fields(&buffer[..length]);
        if fits(&fields) {
            return fields;
        }
    }
}
