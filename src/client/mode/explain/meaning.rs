//! What each part of a connection is for: one sentence, and where the RFCs define it.

use super::records::Content;

/// A sentence, and the section of the RFC.
pub type Meaning = (&'static str, &'static str);

/// Of the look-up of a name.
pub const LOOK_UP: Meaning = (
    "IP delivers packets to addresses and knows no names, so the resolver is asked first.",
    "RFC 1034 §5",
);

/// Of the answer to it.
pub const RESOLVED: Meaning = (
    "These are tried in turn, IPv6 and IPv4 alternately, until one accepts the connection.",
    "RFC 8305 §4",
);

/// Of the first packet.
pub const SYN: Meaning =
    ("The first packet asks for a connection and proposes a sequence number.", "RFC 9293 §3.5");

/// Of the last packets of the TCP handshake.
pub const CONNECTED: Meaning = (
    "The server agreed (SYN, ACK), and our ACK shows that packets pass in both directions.",
    "RFC 9293 §3.5",
);

/// Of an attempt that failed.
pub const REFUSED: Meaning = (
    "Nothing listens there, or something on the way does not let the packet pass.",
    "RFC 9293 §3.5.2",
);

/// Of a FIN that comes alone, or after `close_notify`.
pub const FIN: Meaning =
    ("This side has no more bytes to send. It can still receive.", "RFC 9293 §3.6");

/// Of a FIN without `close_notify`.
pub const TRUNCATED: Meaning = (
    "No close_notify came before: a FIN can be forged, so the rest may have been cut off.",
    "RFC 8446 §6.1",
);

/// Of plain bytes.
pub const PLAIN: Meaning =
    ("Plain TCP: whoever is on the way can read and change this.", "RFC 862");

/// Of an end by an error.
pub const BROKEN: Meaning =
    ("The connection ended without the FIN of both sides.", "RFC 9293 §3.5.2");

/// Of what the wire carried, in TLS 1.3 or an earlier version.
pub fn of(content: &Content, tls13: bool) -> Meaning {
    let either = |new: &'static str, old: &'static str| if tls13 { new } else { old };
    match content {
        Content::Message(kind, body) => of_message(*kind, body, tls13),
        Content::ChangeCipherSpec if tls13 => (
            "Means nothing in TLS 1.3: it makes the session look like TLS 1.2 to old middleboxes.",
            "RFC 8446 §D.4",
        ),
        Content::ChangeCipherSpec => {
            ("From here on, this side encrypts what it sends.", "RFC 5246 §7.1")
        }
        Content::Alert(_, 0) => (
            "Says that nothing more will come, so that the other side can tell an end from a cut.",
            either("RFC 8446 §6.1", "RFC 5246 §7.2.1"),
        ),
        Content::Alert(_, description) => {
            (of_alert(*description), either("RFC 8446 §6.2", "RFC 5246 §7.2.2"))
        }
        Content::Data(_) => (
            "What the connection is for. Only the two ends can read it.",
            either("RFC 8446 §5.2", "RFC 5246 §6.2"),
        ),
        Content::Sealed(_) => {
            ("Encrypted with keys that this client does not have.", "RFC 8446 §5.2")
        }
        Content::Malformed(_) => ("Its content is not what its type promises.", "RFC 8446 §5.1"),
        Content::NotTls => ("These bytes are not a record of TLS.", "RFC 8446 §5.1"),
    }
}

fn of_message(kind: u8, body: &[u8], tls13: bool) -> Meaning {
    let either = |new: &'static str, old: &'static str| if tls13 { new } else { old };
    match kind {
        0 => ("The server asks for a new handshake; nobody should need one.", "RFC 5246 §7.4.1.1"),
        1 => (
            "Opens the handshake: what the client can do, and its half of the key exchange.",
            "RFC 8446 §4.1.2",
        ),
        2 if super::records::ServerHello::read(body).is_some_and(|it| it.is_retry) => (
            "The server needs another key share, and asks for it: this costs a round trip.",
            "RFC 8446 §4.1.4",
        ),
        2 if tls13 => (
            "The server's choice, and its half of the key exchange: what follows is encrypted.",
            "RFC 8446 §4.1.3",
        ),
        2 => ("The server chooses from what the client offers.", "RFC 5246 §7.4.1.3"),
        4 => (
            "With this ticket, a later connection can resume the session without a certificate.",
            either("RFC 8446 §4.6.1", "RFC 5077 §3.3"),
        ),
        8 => (
            "Answers to the client's extensions that nobody on the way needs to see.",
            "RFC 8446 §4.3.1",
        ),
        11 => (
            "Says whose key this is: a chain from the sender's own certificate towards a CA.",
            either("RFC 8446 §4.4.2", "RFC 5246 §7.4.2"),
        ),
        12 => (
            "The server's half of the key exchange, signed with the key of its certificate.",
            "RFC 8422 §5.4",
        ),
        13 => (
            "The server wants to know who the client is (mutual TLS).",
            either("RFC 8446 §4.3.2", "RFC 5246 §7.4.4"),
        ),
        14 => ("The server has said everything; it is the client's turn.", "RFC 5246 §7.4.5"),
        15 => (
            "A signature over the handshake so far: the sender has the certificate's private key.",
            either("RFC 8446 §4.4.3", "RFC 5246 §7.4.8"),
        ),
        16 => (
            "The client's half of the key exchange: now both sides can compute the keys.",
            "RFC 8422 §5.7",
        ),
        20 => (
            "A checksum with a key over all messages: nobody has changed the handshake.",
            either("RFC 8446 §4.4.4", "RFC 5246 §7.4.9"),
        ),
        22 => ("Proof of the CA that the certificate is not revoked.", "RFC 6066 §8"),
        24 => ("From the next record on, the sender uses new keys.", "RFC 8446 §4.6.3"),
        _ => ("A message that this client does not know.", "RFC 8446 §4"),
    }
}

/// What an alert means.
fn of_alert(description: u8) -> &'static str {
    match description {
        10 => "The sender did not expect this message at this point.",
        20 => "A record could not be opened: it was changed, or the keys differ.",
        22 => "A record is longer than TLS allows.",
        40 => "The sender found nothing in common with what the other side offers.",
        42 => "The sender cannot read or verify the certificate.",
        43 => "The sender does not support this kind of certificate.",
        44 => "The CA has revoked the certificate.",
        45 => "The certificate, or a CA above it, has expired or is not yet valid.",
        46 => "The sender does not accept the certificate, for a reason of its own.",
        47 => "A field has a value that contradicts the others.",
        48 => "The sender does not know the CA that signed the certificate.",
        49 => "The certificate is valid, and the sender does not let its owner in.",
        50 => "The sender could not decode a message.",
        51 => "A signature or a Finished message is wrong: something changed the handshake.",
        70 => "The sender does not accept any of the versions that are offered.",
        71 => "The sender demands stronger algorithms than those that are offered.",
        80 => "The sender failed for a reason that is not the peer's fault.",
        86 => "The client tries an older version than both sides support.",
        90 => "The user ended the handshake.",
        109 => "An extension that must be there is missing.",
        110 => "There is an extension that was not asked for.",
        112 => "The server has nothing under this name (SNI).",
        113 => "The OCSP response is not valid.",
        115 => "The server does not know this pre-shared key.",
        116 => "The server wants a certificate of the client, and got none.",
        120 => "The server has none of the offered application protocols (ALPN).",
        _ => "The sender ends the connection.",
    }
}
