//! Which file is loaded, and the built-in configuration where there is none.

use std::path::Path;

use super::check::check;
use super::problem::Problem;
use super::settings::{Config, Source};
use crate::exit::{Exit, Failure};
use crate::os::files;

/// The file that is read if no other is named.
pub const DEFAULT_PATH: &str = "/etc/echo-alex/echo-alex.toml";

/// The longest file that is read, in bytes.
const FILE_MAX: u64 = 1024 * 1024;

/// What is served without a file: plain and TLS echo, with a temporary identity, and a page for browsers.
const BUILT_IN: &str = "
[[listener]]
name = \"plain\"
listen = 5000

[[listener]]
name = \"tls\"
listen = 5001
[listener.tls]

[[listener]]
name = \"web\"
listen = 5080
service = \"web\"
";

impl Config {
    /// The configuration of a start: the file at `path`, or the one at [`DEFAULT_PATH`] if no path
    /// is given, or the built-in configuration if there is none there.
    ///
    /// A reload uses [`Config::load`] instead: if the file were missing, the built-in configuration
    /// would replace private listeners by public ones.
    pub fn for_start(path: Option<&Path>) -> Result<Self, Failure> {
        match path {
            Some(file) => Self::load(file),
            None => Self::load(Path::new(DEFAULT_PATH)).or_else(|failure| match failure.exit {
                Exit::NoInput => Self::built_in(),
                _ => Err(failure),
            }),
        }
    }

    /// The built-in configuration.
    pub fn built_in() -> Result<Self, Failure> {
        Self::parse(BUILT_IN, &Source::BuiltIn)
    }

    /// Reads the file at `path`.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let bytes = files::read(path, FILE_MAX)
            .map_err(|why| why.failure(format_args!("cannot read {}", path.display())))?;
        let text = String::from_utf8(bytes).map_err(|_| {
            Failure::config(format!("{}: the file is not UTF-8 text", path.display()))
        })?;
        Self::parse(&text, &Source::File(path.to_owned()))
    }

    /// Parses and checks `text`.
    pub fn parse(text: &str, source: &Source) -> Result<Self, Failure> {
        let file = toml::from_str(text)
            .map_err(|e| Problem::new(e.span().unwrap_or(0..0), e.message()))
            .map_err(|problem| problem.located(text, source))?;
        check(file, source).map_err(|problem| problem.located(text, source))
    }
}
