//! Limits on the number of sessions, in all and by address, and the descriptors that they need.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::config::{Config, Limits};
use crate::exit::Failure;
use crate::os::descriptors::{Shortage, raise_soft_limit};

/// Counts the sessions of the daemon, or of one listener, and compares them with its limits.
#[derive(Debug, Default)]
pub struct Admission {
    limits: Limits,
    sessions: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why a connection was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `max-sessions` is reached.
    Sessions,
    /// `max-sessions-per-address` is reached.
    Address,
    /// It does not come from a proxy, and its listener is for proxies.
    NoProxy,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sessions, Self::Address, Self::NoProxy];

    /// The key in the configuration.
    pub fn key(self) -> &'static str {
        match self {
            Self::Sessions => "max-sessions",
            Self::Address => "max-sessions-per-address",
            Self::NoProxy => "proxy-protocol",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

impl Admission {
    /// Sets new limits. Existing sessions stay.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The number of sessions.
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// Whether the limits allow one more session from `address`, if that is known.
    pub fn check(&self, address: Option<IpAddr>) -> Result<(), Refusal> {
        if is_reached(self.limits.sessions, self.sessions) {
            return Err(Refusal::Sessions);
        }
        address.map_or(Ok(()), |address| self.check_address(address))
    }

    /// Whether the limit by address allows one more session from `address`.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Refusal> {
        let from_address = self.by_address.get(&network(address)).copied().unwrap_or(0);
        if is_reached(self.limits.sessions_per_address, from_address) {
            return Err(Refusal::Address);
        }
        Ok(())
    }

    /// Counts a session that begins, from `address` if that is known.
    pub fn enter(&mut self, address: Option<IpAddr>) {
        self.sessions += 1;
        if let Some(address) = address {
            self.identify(address);
        }
    }

    /// Counts the `address` of a session that was counted without one.
    pub fn identify(&mut self, address: IpAddr) {
        *self.by_address.entry(network(address)).or_default() += 1;
    }

    /// Counts a session that has ended, from `address` if that was counted.
    pub fn leave(&mut self, address: Option<IpAddr>) {
        self.sessions -= 1;
        let Some(address) = address else { return };
        if let Entry::Occupied(mut count) = self.by_address.entry(network(address)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Whether so many are as many as the limit allows.
fn is_reached(limit: Option<usize>, count: usize) -> bool {
    limit.is_some_and(|limit| count >= limit)
}

/// What counts as one address. A host has a whole IPv6 /64 (RFC 6177 §2) and can choose the rest of
/// the address, so a /64 counts as one. An IPv4-mapped IPv6 address counts as the IPv4 address.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
    }
}

/// Raises the soft limit on descriptors to what `config` needs.
pub fn raise_descriptor_limit(config: &Config) -> Result<(), Failure> {
    let sessions = config.limits.sessions.unwrap_or(0);
    raise_soft_limit(sockets(config)).map_err(|shortage| match shortage {
        Shortage::Hard { needed, maximum } => Failure::config(format!(
            "max-sessions = {sessions} needs {needed} descriptors, and this process may have \
             {maximum}: lower max-sessions, or raise LimitNOFILE= in the unit (ulimit -Hn in a shell)"
        )),
        Shortage::Refused(error) => {
            Failure::system("cannot raise the limit on descriptors", &error)
        }
    })
}

/// How many sockets `config` allows, listening sockets included; a port has two of these.
fn sockets(config: &Config) -> usize {
    let listening = config.listeners.iter().map(|listener| 2 * listener.endpoints.len());
    config.limits.sessions.unwrap_or(0).saturating_add(listening.sum())
}

#[cfg(test)]
mod tests {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::*;
    use crate::config::Source;

    fn admission(sessions: usize, per_address: usize) -> Admission {
        let mut admission = Admission::default();
        admission.set_limits(Limits {
            sessions: Some(sessions),
            sessions_per_address: Some(per_address),
        });
        admission
    }

    #[test]
    fn the_limits_in_all_and_by_address_hold_until_sessions_leave() {
        let (a, b) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let mut admission = admission(3, 2);
        for _ in 0..2 {
            assert_eq!(admission.check(Some(a)), Ok(()));
            admission.enter(Some(a));
        }
        assert_eq!(admission.check(Some(a)), Err(Refusal::Address));
        assert_eq!(admission.check(Some(b)), Ok(()));
        admission.enter(Some(b));
        assert_eq!(admission.check(Some(b)), Err(Refusal::Sessions));
        admission.leave(Some(a));
        assert_eq!(admission.check(Some(a)), Ok(()));
        admission.leave(Some(a));
        admission.leave(Some(b));
        assert_eq!((admission.sessions(), admission.by_address.len()), (0, 0));
    }

    #[test]
    fn sessions_are_counted_and_a_refusal_names_its_key() {
        let address = "10.0.0.1".parse().unwrap();
        let mut admission = admission(3, 2);
        admission.enter(Some(address));
        admission.enter(Some(address));
        assert_eq!(admission.sessions(), 2);
        admission.leave(Some(address));
        assert_eq!(admission.sessions(), 1);
        assert_eq!(Refusal::Sessions.to_string(), "max-sessions");
        assert_eq!(Refusal::Address.to_string(), "max-sessions-per-address");
    }

    #[test]
    fn each_session_and_each_listening_socket_needs_a_descriptor() {
        let text = "[limits]\nmax-sessions = 100\n\
            [[listener]]\nname = \"one\"\nlisten = 5000\n\
            [[listener]]\nname = \"two\"\nlisten = [5001, 5002]\n";
        let config = Config::parse(text, &Source::BuiltIn).unwrap();
        // 100 sessions, and three ports with two sockets each.
        assert_eq!(sockets(&config), 106);
    }

    #[test]
    fn the_limit_of_this_process_is_raised() {
        // More than all tests have open at a time.
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(600), maximum }).unwrap();
        let text = "[limits]\nmax-sessions = 700\n[[listener]]\nname = \"one\"\nlisten = 5000\n";
        let config = Config::parse(text, &Source::BuiltIn).unwrap();
        raise_descriptor_limit(&config).unwrap();
        let raised = getrlimit(Resource::Nofile);
        assert_eq!(raised, Rlimit { current: Some(734), maximum });
        raise_descriptor_limit(&config).unwrap();
        assert_eq!(getrlimit(Resource::Nofile), raised, "it was enough");
    }

    #[test]
    fn ipv6_counts_by_64_and_mapped_ipv4_as_ipv4() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:aaaa::1"), of("2001:db8:1:2:bbbb::2"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
