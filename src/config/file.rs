//! The tables of the file, as serde reads them. Each field is a key, in kebab-case.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use toml::Spanned;

use super::algorithms::{CipherSuite, KeyExchangeGroup};
use super::settings::{Service, Transport};
use super::value::{Count, Listen, MinVersion, Network, Timeout};

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) log: LogTable,
    #[serde(default)]
    pub(super) limits: LimitsTable,
    pub(super) tickets: Option<Spanned<TicketsTable>>,
    #[serde(default)]
    pub(super) listener: Listeners,
}

/// `[log]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table: [log]")]
pub(super) struct LogTable {
    #[serde(default)]
    pub(super) target: TargetName,
    pub(super) level: Option<Level>,
    pub(super) socket: Option<PathBuf>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TargetName {
    #[default]
    Stderr,
    Journal,
    Syslog,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// `[limits]`, and `[listener.limits]`, which has the same keys but for the last four.
#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table: [limits] or [listener.limits]"
)]
pub(super) struct LimitsTable {
    pub(super) max_sessions: Option<Spanned<Count>>,
    pub(super) max_sessions_per_address: Option<Spanned<Count>>,
    pub(super) handshake_timeout: Option<Spanned<Timeout>>,
    pub(super) idle_timeout: Option<Spanned<Timeout>>,
    pub(super) write_timeout: Option<Spanned<Timeout>>,
    pub(super) linger_timeout: Option<Spanned<Timeout>>,
    pub(super) drain_delay: Option<Spanned<Timeout>>,
    pub(super) drain_timeout: Option<Spanned<Timeout>>,
    pub(super) datagrams_per_second: Option<Spanned<Count>>,
    pub(super) datagrams_per_second_per_address: Option<Spanned<Count>>,
}

/// `[tickets]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table: [tickets]")]
pub(super) struct TicketsTable {
    pub(super) file: PathBuf,
}

/// One `[[listener]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table: [[listener]]")]
pub(super) struct ListenerTable {
    pub(super) name: Spanned<String>,
    pub(super) listen: Spanned<Listen>,
    pub(super) reuse_port: Option<Spanned<bool>>,
    pub(super) transport: Option<Spanned<Transport>>,
    #[serde(default)]
    pub(super) service: Service,
    pub(super) allow: Option<Spanned<Vec<Network>>>,
    pub(super) origins: Option<SpannedList<String>>,
    pub(super) proxy_protocol: Option<Spanned<ProxyTable>>,
    pub(super) tls: Option<Spanned<TlsTable>>,
    #[serde(default)]
    pub(super) limits: LimitsTable,
}

/// `proxy-protocol`.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table with the networks of your proxies: { from = [\"10.0.0.0/8\"] }"
)]
pub(super) struct ProxyTable {
    pub(super) from: Spanned<Vec<Network>>,
}

/// `[listener.tls]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table: [listener.tls]")]
pub(super) struct TlsTable {
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) client_ca: Option<PathBuf>,
    pub(super) client_auth: Option<Spanned<ClientAuth>>,
    pub(super) min_version: Option<MinVersion>,
    pub(super) cipher_suites: Option<SpannedList<CipherSuite>>,
    pub(super) groups: Option<SpannedList<KeyExchangeGroup>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ClientAuth {
    Required,
    Optional,
}

/// A list with the places of its entries.
pub(super) type SpannedList<T> = Spanned<Vec<Spanned<T>>>;

/// The tables called `[[listener]]`.
#[derive(Default)]
pub(super) struct Listeners(pub(super) Vec<ListenerTable>);

impl<'de> Deserialize<'de> for Listeners {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListenersVisitor;

        impl<'de> Visitor<'de> for ListenersVisitor {
            type Value = Listeners;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[[listener]], with two brackets on each side")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Listeners, A::Error> {
                let mut all = Vec::new();
                while let Some(table) = list.next_element()? {
                    all.push(table);
                }
                Ok(Listeners(all))
            }
        }

        deserializer.deserialize_any(ListenersVisitor)
    }
}
