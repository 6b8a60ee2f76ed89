//! The conditions of a measurement: what must be equal for two of them to be compared, and how far the
//! client itself can be trusted.

use std::time::{Duration, Instant};

use rustix::system::uname;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::client::connection::Connection;
use crate::client::context::Client;
use crate::client::error::Error;

/// How often the timer is tried.
const TRIES: u32 = 20;

/// How long each try waits.
const TRY: Duration = Duration::from_millis(1);

/// The conditions of a measurement.
#[derive(Clone, Serialize)]
pub(super) struct Conditions {
    version: &'static str,
    kernel: String,
    machine: String,
    congestion_control: Option<String>,
    tls_version: Option<&'static str>,
    cipher_suite: Option<&'static str>,
    /// The most by which a wait ended too late.
    pub(super) timer_error_ms: f64,
}

impl Conditions {
    /// Those of this machine, and of a connection if there is one.
    pub(super) fn find(
        client: &mut Client,
        connection: Option<&mut Connection>,
    ) -> Result<Self, Error> {
        let system = uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let agreed = connection.as_ref().and_then(|connection| connection.agreed());
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            kernel: format!("{} {}", text(system.sysname()), text(system.release())),
            machine: text(system.machine()),
            congestion_control: connection.and_then(Connection::congestion_control),
            tls_version: agreed.map(|agreed| agreed.version),
            cipher_suite: agreed.map(|agreed| agreed.cipher_suite),
            timer_error_ms: timer_error(client)?.as_secs_f64() * 1e3,
        })
    }
}

impl Conditions {
    /// The conditions in the words of a report.
    pub(super) fn words(&self) -> Vec<(&'static str, String)> {
        let optional = |text: Option<&str>| text.unwrap_or("-").to_owned();
        vec![
            ("version", self.version.to_owned()),
            ("kernel", format!("{}, {}", self.kernel, self.machine)),
            ("congestion control", optional(self.congestion_control.as_deref())),
            ("TLS version", optional(self.tls_version)),
            ("cipher suite", optional(self.cipher_suite)),
            ("timer error", format!("{:.3} ms", self.timer_error_ms)),
        ]
    }
}

/// The most by which a short wait ends too late.
fn timer_error(client: &mut Client) -> Result<Duration, Error> {
    let mut worst = Duration::ZERO;
    for _ in 0..TRIES {
        let until = Instant::now() + TRY;
        while Instant::now() < until {
            client.waiter.wait(Some(until))?;
        }
        worst = worst.max(until.elapsed());
    }
    Ok(worst)
}

/// The processor time of this process.
pub(super) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
