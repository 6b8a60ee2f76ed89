//! The command `verify`: would a peer accept the certificates?

use std::path::Path;

use crate::certs::cli::{PROGRAM, Verify};
use crate::certs::files::settle_all;
use crate::exit::{Exit, Failure};
use crate::os::output;
use crate::tls::certificate::Certificate;
use crate::tls::host::is_host;
use crate::tls::pem::{load_certificates, load_key};
use crate::tls::verify::{Purpose, verify, verify_key};

/// Verifies each file, also after one that is refused.
pub(super) fn run(options: &Verify) -> Result<Exit, Failure> {
    let ca = options.ca.path(&options.dir);
    let files = options.files.iter().chain(&options.key).chain([&ca]);
    let folders = files.filter_map(|file| file.parent()).chain([options.dir.dir.as_path()]);
    settle_all(PROGRAM, folders, true)?;
    let mut exit = Exit::Ok;
    for path in &options.files {
        match verify_one(options, &ca, path) {
            Ok(good) => {
                output::print(format_args!("{}: good: {good}\n", path.display()))?;
            }
            Err(failure) => {
                output::note(format_args!("{PROGRAM}: {failure}"));
                exit = failure.exit;
            }
        }
    }
    Ok(exit)
}

/// What was verified of the certificate in `path`.
fn verify_one(options: &Verify, ca: &Path, path: &Path) -> Result<String, Failure> {
    let refused = |why: &dyn std::fmt::Display| {
        Failure::new(Exit::Failure, format!("{}: {why}", path.display()))
    };
    let chain = load_certificates(path)?;
    let roots = load_certificates(ca)?;
    let first = chain.first().ok_or_else(|| refused(&"no certificate"))?;
    let leaf = Certificate::parse(first).map_err(|why| refused(&format_args!("damaged: {why}")))?;
    let purpose = match &options.name {
        Some(name) => Purpose::Server(name),
        None if leaf.for_clients && !leaf.for_servers => Purpose::Client,
        None => {
            let own = leaf.names.iter().find(|name| is_host(name));
            Purpose::Server(own.map_or("localhost", String::as_str))
        }
    };
    verify(&chain, &roots, &ca.display().to_string(), purpose).map_err(|why| refused(&why))?;
    let mut good = vec![leaf.summary()];
    good.push(match purpose {
        Purpose::Client => "for a client".into(),
        Purpose::Server(_) if options.name.is_none() => format!("for {}", leaf.names.join(", ")),
        Purpose::Server(name) => format!("for {name}"),
    });

    let key_path = options.key.clone().unwrap_or_else(|| path.with_extension("key"));
    let shown = key_path.display();
    if options.key.is_none() && !key_path.exists() {
        return Ok(good.join(", "));
    }
    match load_key(&key_path) {
        Ok(key) => {
            verify_key(&chain, key).map_err(|why| refused(&format_args!("{shown}: {why}")))?;
            good.push(format!("with its key in {shown}"));
        }
        // Only its owner can read a key; others can still verify the certificate.
        Err(failure) if options.key.is_none() && failure.exit == Exit::NoPermission => {
            good.push(format!("and {shown} cannot be read to compare"));
        }
        Err(failure) => return Err(failure),
    }
    Ok(good.join(", "))
}
