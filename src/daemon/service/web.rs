//! `web`: HTTP/1.1 (RFC 9112) for probes and Prometheus, and the echo of a WebSocket. One request is answered at a time; those that were pipelined
//! behind it wait, and nothing more is read before they are answered.

mod access;
pub mod anything;
pub mod events;
mod fields;
mod page;
mod request;
mod response;
mod site;
mod upgrade;
mod utf8;
mod websocket;

use std::mem;
use std::rc::Rc;

use events::Watcher;
use ipnet::IpNet;
use request::{HEAD_MAX, Page, Refusal, Request, parse};
use response::{Response, Status};
pub use site::{Format, Site};
use upgrade::Upgrade;
use websocket::{End, WebSocket};

use crate::daemon::service::next::{Next, Requester};
use crate::wire::buffers::READ_SIZE;
use crate::wire::close::CloseReason;

/// What the sessions of one listener share.
#[derive(Debug, Default)]
pub struct Context {
    /// The name of the listener.
    pub listener: String,
    /// What those of all listeners share.
    pub site: Rc<Site>,
    /// The networks that may see the metrics.
    pub allow: Vec<IpNet>,
    /// The origins whose pages may use `/echo`, besides its own.
    pub origins: Vec<String>,
}

/// The web service of one session.
#[derive(Debug)]
pub struct Web {
    context: Rc<Context>,
    /// Bytes of requests that were not answered: at most the beginning of a head and one read.
    held: Vec<u8>,
    /// `held` has bytes that were not parsed.
    is_new: bool,
    /// The rest of an answer.
    body: Option<Body>,
    /// The answer waits for metrics in this format; whether it has a body.
    waits: Option<(Format, bool)>,
    /// The session watches what the daemon sees.
    watcher: Option<Watcher>,
    /// The session is a WebSocket.
    socket: Option<Box<WebSocket>>,
    /// Why the session ends when the answer is out.
    ends: Option<CloseReason>,
    /// A request, or what should have been one, was not a probe.
    is_visited: bool,
    requests: u64,
    sent: u64,
}

/// What is still to be sent of an answer.
#[derive(Debug)]
struct Body {
    bytes: Rc<[u8]>,
    sent: usize,
}

impl Web {
    /// A session that has received nothing.
    pub fn new(context: Rc<Context>) -> Self {
        Self {
            context,
            held: Vec::new(),
            is_new: false,
            body: None,
            waits: None,
            watcher: None,
            socket: None,
            ends: None,
            is_visited: false,
            requests: 0,
            sent: 0,
        }
    }

    /// Takes what `came`. A WebSocket answers at once, behind `said`.
    pub fn receive(&mut self, came: &[u8], said: &mut Vec<u8>) {
        if self.ends.is_some() || self.watcher.is_some() || came.is_empty() {
            return;
        }
        if self.socket.is_some() {
            self.take_frames(came, said);
            self.sent += said.len() as u64;
        } else {
            self.held.extend_from_slice(came);
            self.is_new = true;
        }
    }

    /// Appends to `said` the message that announces the end of the session by the daemon.
    pub fn say_goodbye(&mut self, said: &mut Vec<u8>) {
        if self.socket.is_some() && self.ends.is_none() {
            WebSocket::farewell(said);
            self.sent += said.len() as u64;
        }
    }

    /// What it does next.
    pub fn next(&self) -> Next {
        if self.body.is_some() || self.waits.is_some() {
            return Next::Answer;
        }
        if let Some(watcher) = &self.watcher {
            return if watcher.has_event() { Next::Answer } else { Next::Read };
        }
        match &self.ends {
            Some(reason) => Next::End(reason.clone()),
            None if self.is_new => Next::Answer,
            None => Next::Read,
        }
    }

    /// Puts the next piece of its answer behind `said`: none while it waits for the event loop.
    pub fn answer(&mut self, requester: &Requester, said: &mut Vec<u8>) {
        if self.body.is_some() {
            self.go_on(said);
        } else if let Some(watcher) = &mut self.watcher {
            self.body = Some(Body { bytes: watcher.event(), sent: 0 });
            self.go_on(said);
        } else if let Some((format, has_body)) = self.waits {
            let site = &self.context.site;
            if !site.is_asked(format) {
                self.waits = None;
                let response = Response::metrics(format, site.metrics(format));
                self.send(&response, has_body, said);
            }
        } else {
            match parse(&self.held) {
                Ok(None) if self.held.len() < HEAD_MAX => self.is_new = false,
                Ok(None) => self.refuse(&Refusal::HeadTooLarge, said),
                Ok(Some((length, request))) => {
                    self.held.drain(..length);
                    self.is_new = !self.held.is_empty();
                    self.respond(&request, requester, said);
                }
                Err(refusal) => self.refuse(&refusal, said),
            }
            if self.held.is_empty() {
                self.held = Vec::new();
            }
        }
        self.sent += said.len() as u64;
    }

    /// Answers a request.
    fn respond(&mut self, request: &Request, requester: &Requester, said: &mut Vec<u8>) {
        self.requests += 1;
        if request.is_read
            && let Page::Echo(Upgrade::Yes { accept, foreign }) = &request.page
        {
            let origins = &self.context.origins;
            if foreign.as_ref().is_none_or(|origin| upgrade::is_allowed(origin, origins)) {
                return self.upgrade(accept, said);
            }
        }
        self.is_visited |= !matches!(request.page, Page::Health | Page::Ready);
        let response = match &request.page {
            _ if !request.is_read => Response::text(Status::NotAllowed, "use GET or HEAD\n"),
            Page::Home => Response::page(self.context.site.home()),
            Page::Health => Response::text(Status::Ok, "ok\n"),
            Page::Ready if self.context.site.is_ready() => Response::text(Status::Ok, "ready\n"),
            Page::Ready => Response::text(Status::Unavailable, "stopping\n"),
            Page::Metrics(format) => {
                match access::check(requester, &self.context.allow, request.is_local_host) {
                    Ok(()) => return self.wait(*format, request),
                    Err(why) => Response::text(Status::Forbidden, &why),
                }
            }
            Page::Events(host) => {
                match access::check_host(host.as_deref(), &self.context.origins) {
                    Ok(()) => return self.watch(request, requester, said),
                    Err(why) => Response::text(Status::Forbidden, why),
                }
            }
            Page::Echo(Upgrade::No) => Response::text(
                Status::UpgradeRequired,
                "this is the echo of a WebSocket (RFC 6455)\n",
            ),
            Page::Echo(Upgrade::Malformed) => {
                Response::text(Status::BadRequest, "Sec-WebSocket-Key is not a key\n")
            }
            Page::Echo(Upgrade::Yes { .. }) => Response::text(
                Status::Forbidden,
                "pages of this origin may not use the echo: the key origins of this listener allows it\n",
            ),
            Page::Other => Response::text(Status::NotFound, "there is no such page\n"),
        };
        self.end_unless_kept(request);
        self.send(&response, !request.is_head, said);
    }

    /// Turns the session into a WebSocket.
    fn upgrade(&mut self, accept: &str, said: &mut Vec<u8>) {
        self.is_visited = true;
        self.socket = Some(Box::default());
        said.extend_from_slice(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            )
            .as_bytes(),
        );
        let came = mem::take(&mut self.held);
        self.is_new = false;
        self.take_frames(&came, said);
    }

    /// Takes bytes of a WebSocket.
    fn take_frames(&mut self, came: &[u8], said: &mut Vec<u8>) {
        let Some(socket) = &mut self.socket else { return };
        self.ends = socket.receive(came, said).map(|end| match end {
            End::Closed => CloseReason::PeerDone,
            End::Failed(why) => CloseReason::BadFrame(why),
        });
    }

    /// Begins a stream of events. Nothing else is answered in this session.
    fn watch(&mut self, request: &Request, requester: &Requester, said: &mut Vec<u8>) {
        if request.is_head {
            self.end(CloseReason::PeerDone);
        } else {
            self.held.clear();
            self.is_new = false;
            let sees_everyone =
                access::check(requester, &self.context.allow, request.is_local_host).is_ok();
            self.watcher =
                Some(Watcher::new(&self.context.site.events, requester.address, sees_everyone));
        }
        self.send(&Response::events(), !request.is_head, said);
    }

    /// Whether it watches what the daemon sees.
    pub fn is_watching(&self) -> bool {
        self.watcher.is_some()
    }

    /// Asks the event loop for metrics, which answer the request.
    fn wait(&mut self, format: Format, request: &Request) {
        self.end_unless_kept(request);
        self.context.site.ask(format);
        self.waits = Some((format, !request.is_head));
    }

    fn end_unless_kept(&mut self, request: &Request) {
        if !request.keeps_alive {
            self.end(CloseReason::PeerDone);
        }
    }

    /// Answers what is not a request that can be answered, and ends the session.
    fn refuse(&mut self, refusal: &Refusal, said: &mut Vec<u8>) {
        self.is_visited = true;
        self.end(CloseReason::BadRequest(refusal.detail(&self.held)));
        self.send(&Response::text(refusal.status(), refusal.text()), true, said);
    }

    /// Nothing more is answered.
    fn end(&mut self, reason: CloseReason) {
        self.ends = Some(reason);
        self.held.clear();
        self.is_new = false;
    }

    fn send(&mut self, response: &Response, has_body: bool, said: &mut Vec<u8>) {
        response.head(self.ends.is_some(), said);
        if has_body {
            self.body = Some(Body { bytes: Rc::clone(&response.body), sent: 0 });
            self.go_on(said);
        }
    }

    /// The next piece of the body, as much as one read of a session brings.
    fn go_on(&mut self, said: &mut Vec<u8>) {
        let Some(Body { bytes, sent }) = &mut self.body else { return };
        let room = READ_SIZE.saturating_sub(said.len());
        let end = bytes.len().min(*sent + room);
        said.extend_from_slice(&bytes[*sent..end]);
        *sent = end;
        if end == bytes.len() {
            self.body = None;
        }
    }

    /// Whether nothing but probes came.
    pub fn is_probe(&self) -> bool {
        !self.is_visited
    }

    /// The number of requests so far.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// The number of bytes sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }
}

#[cfg(test)]
mod tests;
