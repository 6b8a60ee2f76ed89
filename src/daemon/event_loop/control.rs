//! What signals and the configuration ask of the event loop: to stop, to reload, to report.

use log::{Level, error, info, warn};

use super::{Ending, EventLoop, Phase};
use crate::config::{self, Config, DatagramLimits, Service};
use crate::daemon::admission::raise_descriptor_limit;
use crate::daemon::logger;
use crate::daemon::signals::Command;
use crate::daemon::systemd::HandedOver;
use crate::daemon::udp::{self, Responder};
use crate::exit::Failure;
use crate::os::clock::Moment;
use crate::os::descriptors;
use crate::os::tcp_info;
use crate::tls::tickets::TicketKeys;
use crate::wire::close::CloseReason;

impl EventLoop {
    /// Does what the signals of this iteration ask for.
    #[cold]
    pub(super) fn handle_signals(&mut self, now: Moment) {
        for command in self.signals.commands() {
            match command {
                Command::Stop => self.stop(Ending::Soon, now),
                Command::Finish => self.stop(Ending::WithPeer, now),
                Command::Reload if !self.listeners.site.is_ready() => {}
                Command::Reload => self.reload(now),
                Command::Report => {
                    for pairs in self.snapshot(now).lines() {
                        logger::write("statistics", &pairs);
                    }
                }
            }
        }
    }

    /// Is not ready any more, and drains after `drain-delay`. When asked again, ends faster.
    fn stop(&mut self, ending: Ending, now: Moment) {
        match self.phase {
            Phase::Serving => {}
            Phase::Leaving(..) | Phase::Draining(..) if ending == Ending::WithPeer => return,
            Phase::Leaving(_, Ending::WithPeer) | Phase::Draining(_, Ending::WithPeer) => {
                return self.drain(ending, now);
            }
            Phase::Leaving(_, Ending::Soon) | Phase::Draining(_, Ending::Soon) => {
                warn!("asked to stop again: {} are cut off", self.totals());
                if !self.phase.is_draining() {
                    self.drain(ending, now);
                }
                return self.sessions.cut_off(&CloseReason::Stopping);
            }
        }
        self.listeners.site.set_ready(false);
        self.manager.stopping();
        match now.checked_add(self.drain_delay) {
            Some(moment) if moment > now => {
                let delay = self.drain_delay;
                info!("not ready, and listening for {delay:?} more, {}", self.totals());
                self.phase = Phase::Leaving(moment, ending);
            }
            _ => self.drain(ending, now),
        }
    }

    /// Accepts the connections that wait and no more, and has every session end like this.
    fn drain(&mut self, ending: Ending, now: Moment) {
        if !self.phase.is_draining() {
            for key in self.listeners.socket_keys() {
                self.stop_listening(key, now);
            }
        }
        let until = self.drain_timeout.and_then(|timeout| now.checked_add(timeout));
        self.phase = Phase::Draining(until, ending);
        match ending {
            Ending::Soon => {
                info!("stopping, {}", self.totals());
                self.end_sessions(&CloseReason::Stopping, |_| true, now);
            }
            Ending::WithPeer => {
                info!("stopping when the last peer is done, {}", self.totals());
                // Their peers are never done: a scraper keeps its connection, a page waits for events.
                let web = self.listeners.iter().filter(|(_, it)| it.is_web());
                let web: Vec<usize> = web.map(|(key, _)| key).collect();
                self.end_sessions(&CloseReason::Stopping, |key| web.contains(&key), now);
            }
        }
    }

    /// Goes on when the time of a phase is over.
    pub(super) fn end_phase(&mut self, now: Moment) {
        match self.phase {
            Phase::Serving => {}
            Phase::Leaving(_, ending) => self.drain(ending, now),
            Phase::Draining(..) if self.sessions.is_empty() => {}
            Phase::Draining(..) => {
                warn!("drain-timeout is over: {} are cut off", self.totals());
                self.sessions.cut_off(&CloseReason::Stopping);
            }
        }
    }

    /// Reads the configuration again. One that does not pass changes nothing.
    fn reload(&mut self, now: Moment) {
        self.manager.reloading();
        let outcome =
            Config::load(&self.config_file).and_then(|config| self.apply(config, Vec::new(), now));
        match outcome {
            Ok(()) => {
                self.reloads.done += 1;
                info!("reloaded");
            }
            Err(failure) => {
                self.reloads.failed += 1;
                error!("not reloaded, all stays as it was: {failure}");
            }
        }
        self.manager.ready(self.totals(), now);
    }

    /// Serves by `config` from here on. Everything that can fail is done before anything changes.
    pub(super) fn apply(
        &mut self,
        config: Config,
        handed_over: Vec<HandedOver>,
        now: Moment,
    ) -> Result<(), Failure> {
        raise_descriptor_limit(&config)?;
        let Config {
            source: _,
            log,
            limits,
            datagrams,
            drain_delay,
            drain_timeout,
            ticket_keys,
            listeners,
        } = config;
        let asks = |it: &config::Listener| matches!(it.service, Service::Report | Service::Web);
        let asks_kernel = listeners.iter().any(asks);
        // They are wiped at the end of this: the listeners have keys that are derived from them.
        let keys = ticket_keys.as_deref().map(TicketKeys::load).transpose()?;
        let plans = self.listeners.plan(listeners, keys.as_ref(), handed_over)?;
        logger::set(&log)?;
        if asks_kernel || log::log_enabled!(Level::Debug) {
            // The first question may have the kernel load a module: not in the midst of sessions.
            tcp_info::is_available();
        }
        // Their listeners may now be others.
        self.making = None;
        self.restart_survey(now);
        self.sessions.admission.set_limits(limits);
        self.drain_delay = drain_delay;
        self.drain_timeout = drain_timeout;
        self.ticket_keys_end = keys.as_ref().map(TicketKeys::end);
        for key in self.listeners.follow(plans, self.poll.registry())? {
            self.stop_listening(key, now);
        }
        let retired = self.listeners.retired();
        self.end_sessions(&CloseReason::ListenerRemoved, |key| retired.contains(&key), now);
        for key in retired {
            self.listeners.forget_if_retired(key);
        }
        self.follow_datagrams(datagrams, now);
        self.sessions.rearm(&self.listeners);
        let sockets = self.sessions.len() + self.listeners.sockets();
        self.descriptors =
            descriptors::usage().map(|(open, limit)| (open.saturating_sub(sockets), limit));
        Ok(())
    }

    /// Has a responder while there is a UDP listener.
    fn follow_datagrams(&mut self, limits: DatagramLimits, now: Moment) {
        let Self { responder, listeners, .. } = self;
        if listeners.datagram_ports().next().is_none() {
            *responder = None;
        } else if let Some(responder) = responder {
            responder.follow(limits, listeners, now);
        } else {
            *responder = Some(Box::new(Responder::new(limits, listeners, now)));
        }
    }

    fn stop_listening(&mut self, key: usize, now: Moment) {
        self.answer(key, udp::LAST_TURN, now);
        let (acceptor, mut intake) = self.intake(now);
        acceptor.accept_backlog(key, &mut intake);
        self.listeners.close(key);
    }

    /// Ends the sessions of the listeners whose keys are `chosen`.
    fn end_sessions(&mut self, reason: &CloseReason, chosen: impl Fn(usize) -> bool, now: Moment) {
        self.sessions.end(reason, chosen, now, &mut self.listeners, &mut self.buffers);
    }
}
