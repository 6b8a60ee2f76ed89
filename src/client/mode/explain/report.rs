//! All that `explain` has to say about a connection, for each of its formats.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::client::facts::Facts;
use crate::client::mode::both::rows::Row;
use crate::client::tap::Direction;
use crate::os::units;

/// The report; as JSON, what `explain --format json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// "explain".
    pub mode: &'static str,
    /// The server as the user names it.
    pub host: String,
    /// The address that accepted the connection.
    pub address: Option<String>,
    /// What was agreed in the TLS handshake.
    pub facts: Option<Facts>,
    /// Why the connection failed, if it did.
    pub error: Option<String>,
    /// Where the time went.
    pub phases: Vec<Phase>,
    /// What happened.
    pub steps: Vec<Step>,
    /// What both ends saw, where the server reports it.
    pub ends: Option<Vec<Row>>,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// The time since the start.
    #[serde(rename = "time_ms", serialize_with = "milliseconds")]
    pub time: Duration,
    /// Who sent something; nobody where the client did something by itself.
    pub direction: Option<Direction>,
    /// What it is, such as `ClientHello`.
    pub name: String,
    /// What it says.
    pub details: Vec<Line>,
    /// What it is for.
    pub purpose: &'static str,
    /// Where that is defined.
    pub rfc: &'static str,
    /// The records of TLS or the bytes of plain TCP that carried it. None if they are those of the step
    /// before.
    pub wire: Bytes,
    /// What the records hold, if they are encrypted.
    pub plaintext: Option<Bytes>,
    /// Something went wrong here.
    pub is_fault: bool,
}

/// A name and a value.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Line {
    pub name: &'static str,
    pub value: String,
}

/// Bytes; in JSON, hexadecimal digits.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Bytes(#[serde(serialize_with = "hexadecimal")] pub Vec<u8>);

/// A part of the time.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// Such as "connect".
    pub name: &'static str,
    /// The time since the start.
    #[serde(rename = "start_ms", serialize_with = "milliseconds")]
    pub start: Duration,
    /// How long it took.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub length: Duration,
}

/// A time in milliseconds.
pub fn in_milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn milliseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((in_milliseconds(*time) * 1e3).round() / 1e3)
}

fn hexadecimal<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&units::hexadecimal(bytes))
}
