//! What carries the messages, and the server that the others are compared with.

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    Plain,
    Tls,
    Udp,
}

impl Transport {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Tls, Self::Udp];

    /// The name of its bounds, and the first part of the names of its workloads.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "tls",
            Self::Udp => "udp",
        }
    }

    /// The name in reports.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Plain => "Plain",
            Self::Tls => "TLS",
            Self::Udp => "UDP",
        }
    }

    /// The server that costs are divided by.
    pub(crate) fn reference(self) -> &'static str {
        match self {
            Self::Plain => "epoll",
            Self::Tls => "epoll-openssl",
            Self::Udp => "recvfrom",
        }
    }
}
