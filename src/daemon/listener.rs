//! A listener: what its sessions get, which limits it has, and what has happened on it.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use ipnet::IpNet;
use log::warn;

use crate::config;
use crate::daemon::admission::{Admission, Refusal};
use crate::daemon::log_limit::LogLimiter;
use crate::daemon::service::Service;
use crate::daemon::service::web::{Context, Site};
use crate::daemon::stats::Counters;
use crate::daemon::udp::guard::Hosts;
use crate::os::clock::Moment;
use crate::tls::expiry::Expiry;
use crate::tls::handshake::ServerConfig;
use crate::wire::close::{CloseReason, Fault};
use crate::wire::transport::Transport;

/// How many sessions of a listener have a log line for their end in 10 s; the rest are summed up.
const ENDINGS_LOGGED: u32 = 1000;

/// How many of those that end by a fault of ours have a line in any case. More would add nothing: the
/// fault stays until the operator mends it, and peers can trigger it at will where a client CA has
/// expired.
const FAULTS_LOGGED: u32 = 10;

/// A listener at work. It outlives its sockets while it has sessions.
#[derive(Debug)]
pub struct Listener {
    /// Its name in the log.
    pub name: String,
    /// How long its sessions may stay in a state.
    pub timeouts: config::Timeouts,
    /// Its sessions, counted against its own limits.
    pub admission: Admission,
    /// What has happened on it.
    pub counters: Counters,
    /// Refused connections and datagrams, for the log.
    pub refusals: LogLimiter,
    /// Sessions that ended, for the log.
    pub endings: LogLimiter,
    /// Those with a fault of ours, which have lines of their own.
    faults: LogLimiter,
    /// Keys of its sockets; none once it is no longer in the configuration.
    pub sockets: Vec<usize>,
    service: config::Service,
    transport: config::Transport,
    /// Whose datagrams it answers; `None` are the hosts in the networks of this machine's interfaces.
    pub answered: Option<Hosts>,
    /// The networks of the proxies that all of its connections come from, if it is for proxies.
    proxies: Option<Vec<IpNet>>,
    /// What its sessions share.
    context: Rc<Context>,
    tls: Option<ServerConfig>,
}

impl Listener {
    /// A listener with these settings. It has no sockets yet.
    pub fn new(settings: &config::Listener, tls: Option<ServerConfig>, site: Rc<Site>) -> Self {
        let mut admission = Admission::default();
        admission.set_limits(settings.limits);
        Self {
            name: settings.name.clone(),
            timeouts: settings.timeouts,
            admission,
            counters: Counters::default(),
            refusals: LogLimiter::new(1),
            endings: LogLimiter::new(ENDINGS_LOGGED),
            faults: LogLimiter::new(FAULTS_LOGGED),
            sockets: Vec::new(),
            service: settings.service,
            transport: settings.transport,
            answered: answered(settings),
            proxies: settings.proxies.clone(),
            context: context(settings, site),
            tls,
        }
    }

    /// Takes new settings. Sessions keep their transport and their service.
    pub fn follow(&mut self, settings: &config::Listener, tls: Option<ServerConfig>) {
        // Every field is named here, so that a new one is not forgotten. The name is the same, and the
        // sockets follow their own settings.
        let config::Listener {
            name: _,
            endpoints: _,
            reuse_port: _,
            tls: _,
            transport,
            service,
            allow: _,
            origins: _,
            limits,
            timeouts,
            proxies,
        } = settings;
        self.timeouts = *timeouts;
        self.admission.set_limits(*limits);
        self.service = *service;
        self.transport = *transport;
        self.answered = answered(settings);
        self.proxies.clone_from(proxies);
        self.context = context(settings, Rc::clone(&self.context.site));
        self.tls = tls;
    }

    /// The transport of a session that begins.
    pub fn transport(&self) -> Result<Transport, CloseReason> {
        match &self.tls {
            Some(config) => Transport::tls_server(config.clone()),
            None => Ok(Transport::Plain),
        }
    }

    /// Whether a session begins with a header of the PROXY protocol.
    pub fn expects_header(&self) -> bool {
        self.proxies.is_some()
    }

    /// Whether connections may come from `address`: any, or those of its proxies.
    pub fn check_proxy(&self, address: IpAddr) -> Result<(), Refusal> {
        let address = address.to_canonical();
        match &self.proxies {
            Some(proxies) if !proxies.iter().any(|network| network.contains(&address)) => {
                Err(Refusal::NoProxy)
            }
            _ => Ok(()),
        }
    }

    /// Counts and logs a connection that is refused at `now`.
    pub fn refuse(
        &mut self,
        refusal: Refusal,
        peer: SocketAddr,
        proxy: Option<SocketAddr>,
        now: Moment,
    ) {
        self.counters.refuse(refusal);
        if self.refusals.note(now) {
            let proxy = proxy.map(|it| it.to_string());
            warn!(listener = self.name, peer:%, proxy, limit:% = refusal; "refused");
        }
    }

    /// The service of a session that was `accepted` then.
    pub fn service(&self, accepted: Moment) -> Service {
        Service::new(self.service, &self.context, accepted)
    }

    /// When its certificates expire.
    pub fn expiries(&self) -> &[Expiry] {
        self.tls.as_ref().map_or(&[], |tls| &tls.expiries)
    }

    /// The name of its service.
    pub fn service_name(&self) -> &'static str {
        self.service.name()
    }

    /// Counts a session that ended at `now`; true if it gets a log line of its own.
    pub fn logs_end(&mut self, fault: Fault, now: Moment) -> bool {
        // Those that are left out here are among the endings, and so in the sum of these.
        let comes_first = fault == Fault::Us && {
            self.faults.sum(now);
            self.faults.note(now)
        };
        comes_first || self.endings.note(now)
    }

    /// Whether it answers requests of HTTP.
    pub fn is_web(&self) -> bool {
        self.service == config::Service::Web
    }

    /// Whether it answers no datagram.
    pub fn discards(&self) -> bool {
        self.service == config::Service::Discard
    }

    /// Whether it tells what it has seen.
    pub fn reports(&self) -> bool {
        self.service == config::Service::Report
    }

    /// Whether it is for datagrams.
    pub fn is_udp(&self) -> bool {
        self.transport == config::Transport::Udp
    }

    /// "tls", "plain" or "udp", for the log.
    pub fn kind(&self) -> &'static str {
        match (self.transport, &self.tls) {
            (config::Transport::Udp, _) => "udp",
            (config::Transport::Tcp, Some(_)) => "tls",
            (config::Transport::Tcp, None) => "plain",
        }
    }
}

/// Warns of a listener whose proxies may be anybody.
pub fn warn_of_everybody(settings: &config::Listener) {
    let everybody = |it: &&IpNet| it.prefix_len() == 0;
    if let Some(network) = settings.proxies.iter().flatten().find(everybody) {
        warn!(
            listener = settings.name;
            "proxy-protocol trusts every address ({network}): anybody who connects chooses the address that limits \
             count and the log shows; name the networks of your proxies alone"
        );
    }
}

/// Whose datagrams a listener with these settings answers.
fn answered(settings: &config::Listener) -> Option<Hosts> {
    settings.allow.as_ref().map(|networks| networks.iter().copied().collect())
}

/// What the sessions of a listener with these settings share.
fn context(settings: &config::Listener, site: Rc<Site>) -> Rc<Context> {
    let config::Listener { name, allow, origins, .. } = settings;
    Rc::new(Context {
        listener: name.clone(),
        site,
        allow: allow.clone().unwrap_or_default(),
        origins: origins.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Config, Source};
    use crate::tls::server;

    /// A listener called "alex", with these lines in its table.
    fn settings(lines: &str) -> config::Listener {
        let text = format!("[[listener]]\nname = \"alex\"\nlisten = 5000\n{lines}\n");
        Config::parse(&text, &Source::BuiltIn).unwrap().listeners.remove(0)
    }

    #[test]
    fn a_listener_follows_its_settings() {
        let mut listener = Listener::new(&settings(""), None, Rc::default());
        assert_eq!((listener.name.as_str(), listener.kind()), ("alex", "plain"));
        assert!(matches!(listener.transport(), Ok(Transport::Plain)));
        assert!(matches!(listener.service(Moment::now()), Service::Echo));
        let peer = "192.0.2.1".parse().unwrap();
        listener.admission.enter(Some(peer));
        assert_eq!(listener.admission.check(Some(peer)), Ok(()));

        let limits = "[listener.limits]\nmax-sessions = 1\nidle-timeout = \"7s\"\n";
        let changed = settings(&format!("service = \"discard\"\n[listener.tls]\n{limits}"));
        let tls = changed.tls.as_ref().map(|tls| server::server_config(tls, None).unwrap());
        listener.follow(&changed, tls);
        assert_eq!(listener.kind(), "tls");
        assert!(matches!(listener.transport(), Ok(Transport::Tls(_))));
        assert!(!matches!(listener.service(Moment::now()), Service::Echo));
        assert_eq!(listener.service_name(), "discard");
        assert_eq!(listener.timeouts.idle, Some(Duration::from_secs(7)));
        assert!(listener.admission.check(Some(peer)).is_err());
    }

    #[test]
    fn a_listener_knows_its_service_and_its_transport() {
        for (lines, is) in [
            ("", [false; 4]),
            ("service = \"web\"", [true, false, false, false]),
            ("service = \"discard\"", [false, true, false, false]),
            ("service = \"report\"", [false, false, true, false]),
            ("service = \"report\"\ntransport = \"udp\"", [false, false, true, true]),
        ] {
            let it = Listener::new(&settings(lines), None, Rc::default());
            assert_eq!([it.is_web(), it.discards(), it.reports(), it.is_udp()], is, "{lines}");
        }
    }

    #[test]
    fn a_udp_listener_answers_the_networks_of_its_settings_or_no_certain_ones() {
        let lines = |allow: &str| settings(&format!("transport = \"udp\"\n{allow}"));
        let mut listener = Listener::new(&lines("allow = [\"192.0.2.0/24\"]"), None, Rc::default());
        let answered = listener.answered.as_ref().unwrap();
        assert!(answered.contain("192.0.2.1:40000".parse().unwrap()));
        assert!(!answered.contain("198.51.100.1:40000".parse().unwrap()));
        listener.follow(&lines(""), None);
        assert!(listener.answered.is_none());
    }

    #[test]
    fn a_web_listener_shows_the_metrics_to_the_networks_of_its_settings() {
        let lines = |allow| settings(&format!("service = \"web\"\nallow = [{allow:?}]"));
        let site = Rc::new(Site::default());
        let mut listener = Listener::new(&lines("192.0.2.0/24"), None, Rc::clone(&site));
        assert_eq!(listener.context.allow, ["192.0.2.0/24".parse().unwrap()]);
        listener.follow(&lines("2001:db8::/32"), None);
        assert_eq!(listener.context.allow, ["2001:db8::/32".parse().unwrap()]);
        assert!(Rc::ptr_eq(&listener.context.site, &site));
    }

    #[test]
    fn a_listener_knows_when_its_certificates_expire() {
        let settings = settings("[listener.tls]");
        let tls = settings.tls.as_ref().map(|tls| server::server_config(tls, None).unwrap());
        let listener = Listener::new(&settings, tls, Rc::default());
        let uses: Vec<_> = listener.expiries().iter().map(|expiry| expiry.purpose).collect();
        assert_eq!(uses, ["server"]);
    }

    #[test]
    fn a_thousand_ends_have_a_line_in_an_interval_and_ten_faults_of_ours_in_any_case() {
        let mut listener = Listener::new(&settings(""), None, Rc::default());
        let now = Moment::now();
        let mut logged = |fault, now| (0..1100).filter(|_| listener.logs_end(fault, now)).count();
        assert_eq!(logged(Fault::Peer, now), 1000);
        assert_eq!(logged(Fault::Nobody, now), 0);
        assert_eq!(logged(Fault::Us, now), 10);
        assert_eq!(logged(Fault::Us, now), 0);
        // The sum of the ends is still to be logged; faults have an interval of their own.
        let later = now + Duration::from_secs(11);
        assert_eq!(logged(Fault::Us, later), 10);
    }
}
