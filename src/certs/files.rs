//! The files of the certificate tool in a folder: their names, and what is added to them.

use std::path::Path;

use crate::certs::authority::{Authority, Subject, check_clock};
use crate::certs::key::Key;
use crate::exit::{Exit, Failure};
use crate::os::file_set::{FileSet, settle};
use crate::os::output;
use crate::tls::certificate::Certificate;
use crate::tls::pem::load_certificates;

/// Completes or removes what an interrupted run left in `folders`. A program that only reads them
/// continues even if it may not do that.
pub(super) fn settle_all<'a>(
    program: &str,
    folders: impl IntoIterator<Item = &'a Path>,
    only_reads: bool,
) -> Result<(), Failure> {
    let mut folders: Vec<&Path> = folders.into_iter().collect();
    folders.sort_unstable();
    folders.dedup();
    for folder in folders {
        match settle(folder) {
            Ok(false) => {}
            Ok(true) => output::note(format_args!(
                "{program}: {}: completed what an interrupted run had begun",
                folder.display()
            )),
            Err(failure) if only_reads => output::note(format_args!("{program}: {failure}")),
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// Refuses the name of a file that would be in another folder, hidden, or the CA's.
pub(super) fn check_file_name(dir: &Path, file: &str) -> Result<(), Failure> {
    let is_name = Path::new(file).file_name().is_some_and(|name| name == file);
    if !is_name || file.starts_with('.') {
        return Err(Failure::usage(format!(
            "{file:?} cannot be the name of a file in {}: choose one with --file",
            dir.display()
        )));
    }
    if file == "signing" {
        return Err(Failure::usage("signing.key is the CA's: choose another name with --file"));
    }
    Ok(())
}

/// Reads the certificate that a renewal replaces, if there is one.
pub(super) fn old_certificate(dir: &Path, file: &str) -> Result<Option<Certificate>, Failure> {
    let path = dir.join(format!("{file}.crt"));
    if !path.exists() {
        return Ok(None);
    }
    let chain = load_certificates(&path)?;
    let damaged = |why: &dyn std::fmt::Display| {
        Failure::config(format!("{}: damaged: {why}", path.display()))
    };
    let first = chain.first().ok_or_else(|| damaged(&"no certificate"))?;
    let old = Certificate::parse(first).map_err(|error| damaged(&error))?;
    check_clock(&path.display().to_string(), &old)?;
    Ok(Some(old))
}

/// Reads the key that a renewal keeps.
pub(super) fn old_key(path: &Path) -> Result<Key, Failure> {
    if !path.exists() {
        return Err(Failure::new(
            Exit::NoInput,
            format!(
                "{} does not exist, so it cannot be kept: without --renew, a new key is made",
                path.display()
            ),
        ));
    }
    Key::load(path)
}

/// Adds `signing.pem` and `signing.key`; returns the line that reports it.
pub(super) fn add_authority(
    files: &mut FileSet,
    authority: &Authority,
    dir: &Path,
) -> Result<String, Failure> {
    files.add_secret("signing.key", &authority.key_pem())?;
    files.add("signing.pem", authority.pem())?;
    let path = dir.join("signing.pem");
    Ok(format!("{}: {}", path.display(), authority.certificate().summary()))
}

/// Signs a certificate for `days` and adds it; returns the line that reports it.
pub(super) fn add_certificate(
    files: &mut FileSet,
    authority: &Authority,
    dir: &Path,
    file: &str,
    (subject, key, days): (&Subject, &Key, u32),
) -> Result<String, Failure> {
    let signed = authority.sign(subject, key, days)?;
    let name = format!("{file}.crt");
    files.add(&name, &signed.pem)?;
    let as_its_ca = signed.certificate.not_after == authority.certificate().not_after;
    Ok(format!(
        "{}: {}{}",
        dir.join(name).display(),
        signed.certificate.summary(),
        if as_its_ca { ", when its CA expires" } else { "" }
    ))
}
