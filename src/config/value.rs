//! The values of keys that have a form of their own: addresses, durations, counts, versions.
//!
//! A value that is wrong by itself is refused here, with what was expected.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::settings::Endpoint;
use crate::os::units;

/// A port, an address, or a list of them.
pub(super) struct Listen(pub(super) Vec<Endpoint>);

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListenVisitor;

        impl<'de> Visitor<'de> for ListenVisitor {
            type Value = Listen;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port such as 5000, an address such as \"192.168.1.16:5000\" or \"[::1]:5000\", or a list of them")
            }

            fn visit_i64<E: de::Error>(self, port: i64) -> Result<Listen, E> {
                match u16::try_from(port) {
                    Ok(port) => Ok(Listen(vec![Endpoint::Port(port)])),
                    Err(_) => Err(E::custom(format_args!("{port} is not a port: 0 to 65535"))),
                }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Listen, E> {
                match text.parse() {
                    Ok(address) => {
                        check_address(address).map_err(E::custom)?;
                        Ok(Listen(vec![Endpoint::Address(address)]))
                    }
                    Err(_) => Err(E::custom(format_args!(
                        "{text:?} is not an address with a port, such as \"192.168.1.16:5000\" or \"[::1]:5000\""
                    ))),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Listen, A::Error> {
                let mut all = Vec::new();
                while let Some(Listen(some)) = list.next_element()? {
                    all.extend(some);
                }
                Ok(Listen(all))
            }
        }

        deserializer.deserialize_any(ListenVisitor)
    }
}

/// Refuses an address that no socket can be bound to, and names the one that was probably meant.
fn check_address(address: SocketAddr) -> Result<(), String> {
    let SocketAddr::V6(address) = address else { return Ok(()) };
    let (ip, port) = (address.ip(), address.port());
    if let Some(ip) = ip.to_ipv4_mapped() {
        return Err(format!("{address} is an IPv4-mapped IPv6 address: write \"{ip}:{port}\""));
    }
    if ip.is_unicast_link_local() && address.scope_id() == 0 {
        return Err(format!(
            "{address} is a link-local address: add the number of its interface, which ip link \
             shows, as in \"[{ip}%2]:{port}\""
        ));
    }
    Ok(())
}

/// A duration such as "10s", or "none".
#[derive(Clone, Copy)]
pub(super) struct Timeout(pub(super) Option<Duration>);

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TimeoutVisitor;

        impl Visitor<'_> for TimeoutVisitor {
            type Value = Timeout;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a duration in quotes, such as {}", units::DURATION_EXAMPLES)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timeout, E> {
                if text == "none" || text == "0" {
                    return Ok(Timeout(None));
                }
                match units::duration(text) {
                    Some(duration) if duration.is_zero() => Ok(Timeout(None)),
                    Some(duration) => Ok(Timeout(Some(duration))),
                    None => Err(E::custom(format_args!(
                        "{text:?} is not a duration, such as {}, nor \"none\"",
                        units::DURATION_EXAMPLES
                    ))),
                }
            }
        }

        deserializer.deserialize_any(TimeoutVisitor)
    }
}

/// The lowest TLS version of a listener. The key takes text, because the number 1.10 would be 1.1.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum MinVersion {
    Tls12,
    Tls13,
}

impl<'de> Deserialize<'de> for MinVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VersionVisitor;

        impl Visitor<'_> for VersionVisitor {
            type Value = MinVersion;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"1.2\" or \"1.3\", with the quotes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<MinVersion, E> {
                match text {
                    "1.2" => Ok(MinVersion::Tls12),
                    "1.3" => Ok(MinVersion::Tls13),
                    _ => Err(E::custom(format_args!(
                        "{text:?} is not a supported version: \"1.2\" or \"1.3\""
                    ))),
                }
            }
        }

        deserializer.deserialize_any(VersionVisitor)
    }
}

/// A network such as "192.168.1.0/24", or an address alone.
pub(super) struct Network(pub(super) IpNet);

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NetworkVisitor;

        impl Visitor<'_> for NetworkVisitor {
            type Value = Network;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a network such as \"192.168.1.0/24\" or \"2001:db8::/64\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Network, E> {
                let address = || text.parse::<IpAddr>().map(IpNet::from);
                text.parse().or_else(|_| address()).map(Network).map_err(|_| {
                    E::custom(format_args!(
                        "{text:?} is not a network, such as \"192.168.1.0/24\" or \"2001:db8::/64\""
                    ))
                })
            }
        }

        deserializer.deserialize_any(NetworkVisitor)
    }
}

/// A whole number, of sessions or datagrams.
#[derive(Clone, Copy)]
pub(super) struct Count(pub(super) usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;

        impl Visitor<'_> for CountVisitor {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Count, E> {
                self.visit_i128(number.into())
            }

            fn visit_i128<E: de::Error>(self, number: i128) -> Result<Count, E> {
                usize::try_from(number)
                    .map(Count)
                    .map_err(|_| E::custom(format_args!("{number} is out of range")))
            }
        }

        deserializer.deserialize_any(CountVisitor)
    }
}
