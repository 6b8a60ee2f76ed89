//! The configuration file: any text is a configuration, or an error in one line that names the place.
#![no_main]

use std::path::PathBuf;

use echo_alex::testing::{Config, Exit, Source};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let source = Source::File(PathBuf::from("/etc/echo-alex/echo-alex.toml"));
    match Config::parse(text, &source) {
        Ok(config) => {
            let again = Config::parse(text, &source).expect("it was valid before");
            assert_eq!(format!("{config:?}"), format!("{again:?}"));
            for listener in &config.listeners {
                assert!(!listener.name.is_empty());
                assert!(!listener.endpoints.is_empty());
            }
            let mut names: Vec<_> =
                config.listeners.iter().map(|listener| &listener.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), config.listeners.len(), "two listeners have one name");
        }
        Err(failure) => {
            assert!(matches!(failure.exit, Exit::Config), "{failure:?}");
            let rest = failure.message.strip_prefix("/etc/echo-alex/echo-alex.toml:");
            let mut place = rest.expect("the name of the file").splitn(3, ':');
            for what in ["line", "column"] {
                let number: usize = place.next().unwrap_or_default().parse().expect(what);
                assert!((1..=text.len() + 1).contains(&number), "{what} {number}");
            }
            let message = place.next().expect("a message");
            assert!(!message.contains('\n'), "{message:?}");
        }
    }
});
