//! One server that is to be measured, and how it is started and reached.

use crate::Result;
use crate::clients::{Dialler, Handshake};
use crate::identity::Identity;
use crate::servers::{Kind, Programs, Server, Transport};

/// What to start: which server, from where, with which certificate.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) kind: Kind,
    pub(crate) programs: &'a Programs,
    pub(crate) identity: &'a Identity,
}

impl Subject<'_> {
    /// Starts the server, as an argument of `wrapper` (a tracer and its options) if that is not empty.
    pub(crate) fn start(
        self,
        wrapper: &[String],
        handshake: Handshake,
    ) -> Result<(Server, Dialler)> {
        let identity = Some(self.identity).filter(|_| self.kind.transport == Transport::Tls);
        let server = self.kind.start(self.programs, identity, wrapper)?;
        let dialler = Dialler::new(&server, identity, handshake)?;
        Ok((server, dialler))
    }
}
