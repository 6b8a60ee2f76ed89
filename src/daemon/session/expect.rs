//! A session on a listener for proxies.
//!
//! ```text
//! Expecting ──▶ Handshaking, with TLS
//!  handshake-   Opening ──▶ Serving, without
//!  timeout       idle-timeout
//! ```
//!
//! # Nothing is served before a limit was asked
//!
//! Until its header is complete, a session counts against the limits on all sessions alone. Then its turn ends with
//! [`Turn::Admission`], and the owner of the limits lets it go on, or not. What came behind the header is held for as long.
//!
//! # `handshake-timeout` covers both
//!
//! It begins with accept, and no byte of the header extends it, nor does its end.
//!
//! # A second header is refused
//!
//! The specification gives the bytes behind a header to the service. But a second header comes from a second proxy that is
//! not configured, so the address in the first header is that of a proxy and not of the peer. Therefore the session
//! checks the first bytes behind a header (`Opening`). It does not hold them until a signature is complete: a peer may
//! send only a line end, and wait for its echo.

use std::mem;
use std::net::{IpAddr, SocketAddr};

use super::proxied::{Kind, Proxied};
use super::state::State;
use super::{Session, Step, Turn};
use crate::daemon::service::Service;
use crate::os::clock::Moment;
use crate::wire::buffers::Buffers;
use crate::wire::close::CloseReason;
use crate::wire::link::{Bytes, Link, Reading, Wire};
use crate::wire::proxy::{self, Header, Origin};
use crate::wire::transport::Transport;

impl<W: Wire> Session<W> {
    /// A session over `wire` from the `proxy`, which begins with a header of the PROXY protocol.
    pub fn behind_proxy(
        wire: W,
        proxy: SocketAddr,
        transport: Transport,
        service: Service,
        now: Moment,
    ) -> Self {
        let proxied = Proxied { address: proxy, held: Vec::new(), kind: None, is_admitted: false };
        Self {
            state: State::Expecting,
            proxied: Some(Box::new(proxied)),
            ..Self::new(wire, proxy, transport, service, now)
        }
    }

    /// Reads once, for the header.
    pub(super) fn expect_header(&mut self, buffers: &mut Buffers) -> Step {
        let reading = self.link.read(buffers);
        let Some(proxied) = &mut self.proxied else { return Step::Wait };
        match reading {
            Ok(Reading::Bytes(bytes)) => {
                proxied.held.extend_from_slice(bytes.of(buffers));
                match proxy::parse(&proxied.held) {
                    Ok(Some((header, length))) => {
                        proxied.held.drain(..length);
                        self.name(header)
                    }
                    Ok(None) => Step::Answered,
                    Err(fault) => self.fail(CloseReason::ProxyHeader(fault)),
                }
            }
            Ok(Reading::Nothing) => Step::Wait,
            Ok(Reading::Ended) if proxied.held.is_empty() => {
                self.fail(CloseReason::ProxyHeader("the connection ended without a header"))
            }
            Ok(Reading::Ended) => {
                self.fail(CloseReason::ProxyHeader("the connection ended within the header"))
            }
            Err(error) => self.fail(error.into()),
        }
    }

    /// The `header` is complete.
    fn name(&mut self, header: Header) -> Step {
        let Some(proxied) = &mut self.proxied else { return Step::Wait };
        proxied.kind = Some(match header.origin {
            Origin::Local => Kind::HealthCheck,
            Origin::Unnamed => Kind::PassedOn,
            Origin::Client { source, .. } => {
                self.peer = source;
                Kind::PassedOn
            }
        });
        if let Service::Other(other) = &mut self.service {
            other.take_header(header, proxied.address);
        }
        Step::Named
    }

    /// Goes on: the limits allow the peer, and count it from now on.
    pub fn admit(&mut self, now: Moment, buffers: &mut Buffers) -> Turn {
        let Some(proxied) = &mut self.proxied else { return Turn::Wait };
        proxied.is_admitted = true;
        let held = mem::take(&mut proxied.held);
        if self.link.transport().is_handshaking() {
            self.state = State::Handshaking;
        } else if self.service.speaks() {
            self.enter(State::Serving, now);
        } else {
            self.enter(State::Opening, now);
        }
        let step = if held.is_empty() {
            Step::More
        } else {
            let bytes = Link::<W>::put_back(&held, buffers);
            self.take(bytes, now, buffers)
        };
        // The event of what was not read has passed.
        self.go_on(step, true, now, buffers)
    }

    /// Ends: the limits do not allow the peer.
    pub fn refuse(&mut self) {
        self.state = State::Refused;
    }

    /// Reads once, for the first bytes behind the header.
    pub(super) fn read_first(&mut self, now: Moment, buffers: &mut Buffers) -> Step {
        match self.link.read(buffers) {
            Ok(Reading::Bytes(bytes)) => self.take(bytes, now, buffers),
            Ok(Reading::Nothing) => Step::Wait,
            Ok(Reading::Ended) => self.end_of_wire(now),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Takes the first bytes behind the header.
    fn take(&mut self, bytes: Bytes, now: Moment, buffers: &mut Buffers) -> Step {
        if matches!(self.state, State::Opening) {
            if proxy::is_second_header(bytes.of(buffers)) {
                let fault = "a second header behind the first: one proxy more than was configured";
                return self.fail(CloseReason::ProxyHeader(fault));
            }
            self.enter(State::Serving, now);
        }
        let handshaking = self.is_handshaking();
        match self.service {
            Service::Echo => self.echo(bytes, handshaking, now, buffers),
            Service::Other(_) => self.receive_other(bytes, handshaking, now, buffers),
        }
    }

    /// The address that limits count, once it is known and they allow it.
    pub fn counted_address(&self) -> Option<IpAddr> {
        self.proxied.as_ref().is_none_or(|it| it.is_admitted).then(|| self.peer.ip())
    }

    /// Whether it waits for its header.
    pub fn is_expecting(&self) -> bool {
        matches!(self.state, State::Expecting)
    }

    /// The proxy that has passed it on.
    pub fn proxy(&self) -> Option<SocketAddr> {
        self.proxied.as_ref().filter(|it| it.kind == Some(Kind::PassedOn)).map(|it| it.address)
    }

    /// Whether it is the proxy's own, to check whether the daemon is there.
    pub fn is_health_check(&self) -> bool {
        self.proxied.as_ref().is_some_and(|it| it.kind == Some(Kind::HealthCheck))
    }
}
