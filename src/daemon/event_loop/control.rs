//! What signals ask for: stop, reload, report.

use log::{error, info, warn};
use mio::{Interest, Token};

use super::{SOCKETS, Server, Stopping};
use crate::config::Config;
use crate::daemon::admission::raise_descriptor_limit;
use crate::daemon::listener::{AtWork, ListenSocket, Listener, Outgoing, Plan};
use crate::daemon::logger;
use crate::daemon::signals::Command;
use crate::daemon::systemd::Handed;
use crate::exit::{Exit, Failure, plain};
use crate::os::clock::Moment;
use crate::wire::close::CloseReason;

impl Server {
    /// Does what the signals of this turn ask for.
    pub(super) fn obey(&mut self, now: Moment) {
        for command in self.signals.commands() {
            match command {
                Command::Stop => self.stop(now),
                Command::Reload if self.stopping.is_some() => {}
                Command::Reload => self.reload(now),
                Command::Report => self.report(now),
            }
        }
    }

    /// Accepts what waits and no more, and ends every session when its echo is out; asked again, at
    /// once.
    fn stop(&mut self, now: Moment) {
        if self.stopping.is_some() {
            warn!("asked to stop again: {} are cut off", self.figures());
            return self.cut_off();
        }
        info!("stopping, {}", self.figures());
        self.manager.stopping();
        let until = self.drain_timeout.and_then(|timeout| now.checked_add(timeout));
        self.stopping = Some(Stopping { until });
        let keys: Vec<usize> = self.sockets.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.stop_listening(key, now);
        }
        self.end_sessions(&CloseReason::Stopping, |_| true, now);
    }

    /// Ends what is left when the time to drain is over.
    pub(super) fn stop_draining(&mut self, now: Moment) {
        let Some(Stopping { until: Some(until) }) = self.stopping else { return };
        if now >= until && !self.sessions.is_empty() {
            warn!("drain-timeout is over: {} are cut off", self.figures());
            self.cut_off();
        }
    }

    fn cut_off(&mut self) {
        for (key, slot) in &mut self.sessions {
            if !slot.session.is_closed() {
                slot.session.close(CloseReason::Stopping);
                self.ended.push(key);
            }
        }
    }

    /// Reads the configuration again. What does not pass changes nothing.
    fn reload(&mut self, now: Moment) {
        self.manager.reloading();
        let outcome =
            Config::load(&self.config_file).and_then(|config| self.apply(config, Vec::new(), now));
        match outcome {
            Ok(()) => info!("reloaded"),
            Err(failure) => error!("not reloaded, all stays as it was: {failure}"),
        }
        self.manager.ready(self.figures(), now);
    }

    /// Serves what `config` says from here on. Everything that can fail is done before anything
    /// changes.
    pub(super) fn apply(
        &mut self,
        config: Config,
        mut handed: Vec<Handed>,
        now: Moment,
    ) -> Result<(), Failure> {
        raise_descriptor_limit(&config)?;
        let Config { log, limits, drain_timeout, listeners, .. } = config;
        let mut at_work: Vec<AtWork<'_>> = self
            .sockets
            .iter()
            .map(|(key, socket)| {
                let owner = self.listeners[socket.listener].name.as_str();
                AtWork { key, owner, socket }
            })
            .collect();
        let mut plans = listeners
            .into_iter()
            .map(|settings| Plan::new(settings, &mut at_work, &mut handed))
            .collect::<Result<Vec<_>, _>>()?;
        let outgoing = Outgoing::new(at_work);
        for plan in &mut plans {
            plan.bind(&outgoing)?;
        }
        for plan in &plans {
            plan.listen()?;
        }
        drop(outgoing);
        for Handed { name, .. } in handed {
            warn!("no listener has the name or a port of the socket {name:?} that was handed over");
        }
        logger::set(&log)?;
        self.admission.set_limits(limits);
        self.drain_timeout = drain_timeout;
        self.follow(plans, now)
    }

    /// Changes the listeners at work into those of `plans`.
    fn follow(&mut self, plans: Vec<Plan>, now: Moment) -> Result<(), Failure> {
        for (_, listener) in &mut self.listeners {
            listener.sockets.clear();
        }
        for plan in plans {
            let known =
                self.listeners.iter().find(|(_, listener)| listener.name == plan.settings.name);
            let listener_key = match known.map(|(key, _)| key) {
                Some(key) => {
                    self.listeners[key].follow(&plan);
                    key
                }
                None => self.listeners.insert(Listener::new(&plan)),
            };
            for key in plan.kept {
                let (socket, listener) =
                    (&mut self.sockets[key], &mut self.listeners[listener_key]);
                if socket.cannot_follow(plan.settings.reuse_port) {
                    warn!(
                        "reuse-port = {} waits for a restart listener={} address={}",
                        plan.settings.reuse_port, listener.name, socket.address
                    );
                }
                socket.listener = listener_key;
                listener.sockets.push(key);
            }
            for fresh in plan.fresh {
                let listener = &mut self.listeners[listener_key];
                let entry = self.sockets.vacant_entry();
                let mut socket = fresh.serve(listener_key);
                let token = Token(SOCKETS + entry.key());
                self.poll
                    .registry()
                    .register(&mut socket.socket, token, Interest::READABLE)
                    .map_err(|error| {
                        Failure::new(
                            Exit::Failure,
                            format!("cannot watch {}: {}", socket.address, plain(&error)),
                        )
                    })?;
                info!(
                    "listening listener={} address={} transport={}",
                    listener.name,
                    socket.address,
                    listener.kind()
                );
                listener.sockets.push(entry.key());
                entry.insert(socket);
            }
        }
        let gone: Vec<usize> = self
            .sockets
            .iter()
            .filter(|(key, socket)| !self.listeners[socket.listener].sockets.contains(key))
            .map(|(key, _)| key)
            .collect();
        for key in gone {
            let ListenSocket { listener, address, .. } = &self.sockets[key];
            let name = &self.listeners[*listener].name;
            info!("no longer listening listener={name} address={address}");
            self.stop_listening(key, now);
        }
        self.retire_listeners(now);
        self.rearm();
        Ok(())
    }

    /// Ends the sessions of listeners that have no socket any more, and forgets those without any.
    fn retire_listeners(&mut self, now: Moment) {
        let retired: Vec<usize> = self
            .listeners
            .iter()
            .filter(|(_, listener)| listener.sockets.is_empty())
            .map(|(key, _)| key)
            .collect();
        self.end_sessions(&CloseReason::ListenerRemoved, |key| retired.contains(&key), now);
        for key in retired {
            self.forget_if_retired(key);
        }
    }

    /// Ends the sessions of the listeners whose keys are `chosen`.
    fn end_sessions(&mut self, reason: &CloseReason, chosen: impl Fn(usize) -> bool, now: Moment) {
        let keys: Vec<usize> = self
            .sessions
            .iter()
            .filter(|(_, slot)| chosen(slot.listener))
            .map(|(key, _)| key)
            .collect();
        for key in keys {
            let session = &mut self.sessions[key].session;
            if !session.is_closed() {
                let turn = session.end(reason.clone(), now, &mut self.buffers);
                self.follow_up(key, turn);
            }
        }
    }

    /// The timeouts may have changed: every deadline is set anew.
    fn rearm(&mut self) {
        for (key, slot) in &mut self.sessions {
            let due = slot.session.deadline(&self.listeners[slot.listener].timeouts);
            self.deadlines.set(key, &mut slot.armed, due);
        }
    }

    /// Writes the counters to the log, and a line for each listener.
    fn report(&self, now: Moment) {
        let mut all = self.past.clone();
        let mut reports = Vec::new();
        for (key, listener) in &self.listeners {
            let mut stats = listener.stats.clone();
            let live = self.sessions.iter().filter(|(_, slot)| slot.listener == key);
            stats.echoed += live.map(|(_, slot)| slot.session.received()).sum::<u64>();
            all.add(&stats);
            reports.push((listener, stats));
        }
        let handshakes = self.sessions.iter().filter(|(_, slot)| slot.session.is_handshaking());
        logger::write(format_args!(
            "statistics uptime={}s sessions={} tls={} handshaking={} {all} log-lines-lost={}",
            now.duration_since(self.started).as_secs(),
            self.sessions.len(),
            self.tls_sessions,
            handshakes.count(),
            logger::lost(),
        ));
        for (listener, stats) in reports {
            logger::write(format_args!(
                "statistics listener={} sessions={} {stats}",
                listener.name,
                listener.admission.sessions(),
            ));
        }
    }
}
