//! What each command does.

use std::net::IpAddr;
use std::path::Path;

use crate::certs::authority::{Authority, CA_DAYS, Subject};
use crate::certs::cli::{Arguments, Ca, Client, Command, Init, PROGRAM, Server, Show, SignOptions};
use crate::certs::files::{
    add_authority, add_certificate, check_file_name, old_certificate, old_key, settle_all,
};
use crate::certs::key::Key;
use crate::certs::names::{check_common_name, default_ca_name, file_name_of_host, own_names};
use crate::certs::{tickets, verify};
use crate::exit::{Exit, Failure};
use crate::os::file_set::FileSet;
use crate::os::output;
use crate::tls::certificate::{Certificate, describe};
use crate::tls::host::{check_host, is_host};
use crate::tls::pem::load_certificates;

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<Exit, Failure> {
    match arguments.command {
        Command::Init(options) => init(options)?,
        Command::Ca(options) => ca(options)?,
        Command::Server(options) => server(options)?,
        Command::Client(options) => client(&options)?,
        Command::Show(options) => show(&options)?,
        Command::Tickets(options) => tickets::run(&options)?,
        Command::Verify(options) => return verify::run(&options),
    }
    Ok(Exit::Ok)
}

/// Makes a CA, a server's and a client's certificate, and prints how to use them.
fn init(options: Init) -> Result<(), Failure> {
    let names = if options.names.is_empty() { own_names() } else { options.names };
    names.iter().try_for_each(|name| check_host(name))?;
    let (dir, days) = (options.output.dir.dir.as_path(), options.days);
    settle_all(PROGRAM, [dir], false)?;
    let mut files = FileSet::new(dir, options.output.force)?;
    let key_type = options.key.key_type;
    let authority = Authority::make(&default_ca_name(), key_type, days.max(CA_DAYS))?;
    let mut made = vec![add_authority(&mut files, &authority, dir)?];
    let subjects =
        [("alex", Subject::Server(names.clone())), ("laptop", Subject::Client("laptop".into()))];
    for (file, subject) in &subjects {
        let key = Key::make(key_type)?;
        files.add_secret(&format!("{file}.key"), &key.pem())?;
        made.push(add_certificate(&mut files, &authority, dir, file, (subject, &key, days))?);
    }
    files.finish()?;

    let path = |name: &str| dir.join(name).display().to_string();
    let server = names.iter().find(|name| !name.starts_with("*.")).map_or("HOST", String::as_str);
    print(&format!(
        "{}\nfor {}\n\n\
         In the configuration, under [listener.tls] (a path is relative to that file):\n  \
         certificate = {:?}\n  key = {:?}\n\n\
         On a client, with a copy of signing.pem:\n  echo-alex-client --tls --ca {} {server}\n",
        made.join("\n"),
        names.join(", "),
        path("alex.crt"),
        path("alex.key"),
        path("signing.pem"),
    ))
}

fn ca(options: Ca) -> Result<(), Failure> {
    let name = options.name.unwrap_or_else(default_ca_name);
    check_common_name(&name)?;
    let dir = options.output.dir.dir.as_path();
    settle_all(PROGRAM, [dir], false)?;
    let mut files = FileSet::new(dir, options.output.force)?;
    let authority = Authority::make(&name, options.key.key_type, options.days)?;
    let made = add_authority(&mut files, &authority, dir)?;
    files.finish()?;
    print(&format!("{made}\n"))
}

fn server(options: Server) -> Result<(), Failure> {
    let Server { mut names, addresses, sign } = options;
    let first = names.first().cloned();
    names.extend(addresses.iter().map(IpAddr::to_string));
    names.iter().try_for_each(|name| check_host(name))?;
    let file = match (&sign.file, first, names.first()) {
        (Some(file), ..) => file.clone(),
        (None, Some(name), _) => file_name_of_host(&name),
        (None, None, _) if sign.renew => "alex".into(),
        (None, None, Some(address)) => address.clone(),
        (None, None, None) => {
            return Err(Failure::usage(
                "server needs a NAME or --ip: by what name do clients call the server?",
            ));
        }
    };
    let files = open(&sign, &file)?;
    if let Some(old) = renewed(&sign, &file)? {
        if !old.for_servers {
            return Err(Failure::usage(format!(
                "{file}.crt is a client's certificate: echo-alex-certs client --renew {file}"
            )));
        }
        let mut all: Vec<String> = old.names.into_iter().filter(|name| is_host(name)).collect();
        names.retain(|name| !all.contains(name));
        all.append(&mut names);
        names = all;
    }
    if names.is_empty() {
        return Err(Failure::usage(format!("{file}.crt has no names: server --renew NAME...")));
    }
    sign_and_write(&sign, files, &file, &Subject::Server(names))
}

fn client(options: &Client) -> Result<(), Failure> {
    let Client { name, sign } = options;
    check_common_name(name)?;
    let file = sign.file.as_ref().unwrap_or(name);
    let files = open(sign, file)?;
    if renewed(sign, file)?.is_some_and(|old| !old.for_clients) {
        return Err(Failure::usage(format!(
            "{file}.crt is a server's certificate: echo-alex-certs server --renew --file {file}"
        )));
    }
    sign_and_write(sign, files, file, &Subject::Client(name.clone()))
}

fn show(options: &Show) -> Result<(), Failure> {
    settle_all(PROGRAM, options.files.iter().filter_map(|file| file.parent()), true)?;
    let mut shown = Vec::new();
    for path in &options.files {
        for certificate in load_certificates(path)? {
            shown.push(format!("{}\n{}", path.display(), describe(&certificate)));
        }
    }
    print(&shown.join("\n"))
}

/// The files of a certificate that are to be written, called `file`.
fn open(options: &SignOptions, file: &str) -> Result<FileSet, Failure> {
    let dir = options.output.dir.dir.as_path();
    check_file_name(dir, file)?;
    let ca = options.ca.path(&options.output.dir);
    settle_all(PROGRAM, [dir].into_iter().chain(ca.parent()), false)?;
    FileSet::new(dir, options.output.force || options.renew)
}

/// The certificate that is renewed, if one is.
fn renewed(options: &SignOptions, file: &str) -> Result<Option<Certificate>, Failure> {
    if options.renew { old_certificate(&options.output.dir.dir, file) } else { Ok(None) }
}

/// Signs for `subject`, with a new key or, to renew, with the existing one.
fn sign_and_write(
    options: &SignOptions,
    mut files: FileSet,
    file: &str,
    subject: &Subject,
) -> Result<(), Failure> {
    let dir: &Path = &options.output.dir.dir;
    let ca = options.ca.path(&options.output.dir);
    let authority = Authority::load(&ca, &ca.with_extension("key"))?;
    let key_name = format!("{file}.key");
    let key = if options.renew {
        old_key(&dir.join(&key_name))?
    } else {
        let key = Key::make(options.key.key_type)?;
        files.add_secret(&key_name, &key.pem())?;
        key
    };
    let made = add_certificate(&mut files, &authority, dir, file, (subject, &key, options.days))?;
    files.finish()?;

    print(&match subject {
        Subject::Client(_) => format!("{made}\n"),
        Subject::Server(names) if options.renew => format!(
            "{made}\nfor {}\na running echo-alex takes it on SIGHUP: systemctl reload echo-alex\n",
            names.join(", ")
        ),
        Subject::Server(names) => format!("{made}\nfor {}\n", names.join(", ")),
    })
}

/// Prints to standard output. A reader that closes the pipe early (`| head -1`) is not an error.
fn print(text: &str) -> Result<(), Failure> {
    output::print(text).map(drop)
}
