//! The configuration file: TOML to checked settings.
//!
//! A start, a reload and `--check` take the same steps:
//!
//! 1. `load` chooses the file and reads it;
//! 2. `file` and `value` parse it: known keys, with values of the right type and form;
//! 3. `check` turns the tables into `settings`, or refuses what makes no sense.
//!
//! Every `problem` is reported in one line with the file, the line, the column and the text there.

mod algorithms;
mod check;
mod file;
mod limits;
mod load;
mod problem;
mod settings;
mod transport;
mod value;

pub use algorithms::{CipherSuite, KeyExchangeGroup};
pub use load::DEFAULT_PATH;
pub use settings::{
    ClientCa, Config, DatagramLimits, Endpoint, Identity, JOURNAL_SOCKET, Limits, Listener, Log,
    LogTarget, Service, Source, Timeouts, Tls, Transport,
};
