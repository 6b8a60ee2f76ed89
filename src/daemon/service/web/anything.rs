//! Any bytes for a web session, for fuzzing.

use std::net::Ipv4Addr;

use super::events::Overview;
use super::request::HEAD_MAX;
use super::websocket::WebSocket;
use super::{Format, Web};
use crate::daemon::service::next::{Next, Requester};
use crate::wire::buffers::READ_SIZE;

/// What a WebSocket may add to what comes: an answer to a control frame that came before, and headers.
const ADDED_MAX: usize = 150;

/// Gives the bytes of `script` to a session in pieces. The first byte says how long these are, and whether
/// the session is a WebSocket already. Panics if it holds or sends more than it may.
#[allow(clippy::missing_panics_doc)] // That is what it is for.
pub fn answer_anything(script: &[u8]) {
    let Some((first, bytes)) = script.split_first() else { return };
    let requester = Requester { address: Ipv4Addr::LOCALHOST.into(), is_verified: true };
    let mut web = Web::new(std::rc::Rc::default());
    web.socket = (first & 1 == 1).then(Box::<WebSocket>::default);
    for piece in bytes.chunks(usize::from(first >> 1).max(1)) {
        let mut said = Vec::new();
        web.receive(piece, &mut said);
        assert!(said.len() <= piece.len() + ADDED_MAX, "{} for {}", said.len(), piece.len());
        // A request has more than ten bytes, and its answer at most two pieces.
        let mut answers = 0;
        while matches!(web.next(), Next::Answer) {
            // A watcher gets what was surveyed.
            web.context.site.events.begin();
            web.context.site.events.publish(&Overview::default());
            for format in Format::ALL {
                web.context.site.publish(format, Some("metrics".into()));
            }
            said.clear();
            web.answer(&requester, &mut said);
            assert!(said.len() <= READ_SIZE);
            answers += 1;
            assert!(answers <= piece.len() + 2, "it answers without end");
        }
        assert!(web.held.len() < HEAD_MAX, "{} bytes held", web.held.len());
        if matches!(web.next(), Next::End(_)) {
            assert!(web.held.is_empty());
        }
    }
}
