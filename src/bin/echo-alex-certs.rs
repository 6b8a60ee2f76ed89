//! The certificates: makes a CA and the identities that it signs, shows and verifies them.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use echo_alex::certs::authority::{
    Authority, CA_DAYS, DAYS, Key, KeyType, Subject, check_clock, check_common_name, host_name,
    own_names,
};
use echo_alex::exit::{Exit, Failure};
use echo_alex::os::file_set::{FileSet, settle};
use echo_alex::os::output;
use echo_alex::tls::certificate::{Certificate, describe};
use echo_alex::tls::host::{check_host, is_host};
use echo_alex::tls::pem::{load_certificates, load_key};
use echo_alex::tls::verify::{NotAccepted, Purpose, verify, verify_key};

const PROGRAM: &str = "echo-alex-certs";

const HELP: &str = "\
echo-alex-certs: a CA of your own, and the certificates that it signs

Usage: echo-alex-certs COMMAND [OPTIONS]

  init           Make a CA, a server (alex) and a client (laptop) in one go
  ca [NAME]      Make a CA: signing.pem and signing.key
  server NAME..  Make and sign alex.crt and alex.key for the server alex.local
  client NAME    Make and sign laptop.crt and laptop.key for the client laptop
  show FILE..    Print what certificates say
  verify FILE..  Check chain, name and dates, and that the key fits

  --dir DIR      Where the files are (certs)
  --ca FILE      The CA (DIR/signing.pem); to sign, its .key is beside it
  --name NAME    init: a name or address of the server; may be repeated
                 verify: the name that clients use (any that it has)
  --ip ADDRESS   server: an address of it; may be repeated
  --file NAME    server, client: call the files NAME.crt and NAME.key
  --renew        server, client: keep the key (and the names), sign anew
  --days N       How long it is valid (365; a CA 3650)
  --key-type T   ecdsa (P-256, the default) or ed25519
  --key FILE     verify: the key (the .key beside the certificate)
  --force        Replace files that are there
  -h, --help     Show this
  -V, --version  Show the version
";

/// The most days that may be asked for: a hundred years.
const DAYS_MAX: u32 = 36_500;

fn main() -> ExitCode {
    output::end(PROGRAM, run())
}

fn run() -> Result<Exit, Failure> {
    let options = Options::parse()?;
    options.settle()?;
    match options.command.as_str() {
        "help" => print(HELP)?,
        "version" => print(&format!("echo-alex-certs {}\n", env!("CARGO_PKG_VERSION")))?,
        "init" => init(&options)?,
        "ca" => ca(&options)?,
        "server" => server(&options)?,
        "client" => client(&options)?,
        "show" => show(&options)?,
        _ => return verify_all(&options),
    }
    Ok(Exit::Ok)
}

/// The whole set: CA, server, client, and how to use them.
fn init(options: &Options) -> Result<(), Failure> {
    let names = if options.names.is_empty() { own_names() } else { options.names.clone() };
    check_hosts(&names)?;
    let days = options.days.unwrap_or(DAYS).max(CA_DAYS);
    let mut files = FileSet::new(&options.dir, options.force)?;
    let authority = Authority::make(&default_ca_name(), options.key_type, days)?;
    let mut made = vec![add_authority(&mut files, &authority, options)?];
    let subjects =
        [("alex", Subject::Server(names.clone())), ("laptop", Subject::Client("laptop".into()))];
    for (file, subject) in &subjects {
        let key = Key::make(options.key_type)?;
        files.add_secret(&format!("{file}.key"), &key.pem())?;
        made.push(add_certificate(&mut files, &authority, options, file, subject, &key)?);
    }
    files.finish()?;

    let path = |name: &str| options.dir.join(name).display().to_string();
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

fn ca(options: &Options) -> Result<(), Failure> {
    let name = match options.arguments.as_slice() {
        [] => default_ca_name(),
        [name] => text(name)?,
        _ => return Err(Failure::usage("ca takes one NAME at most; see echo-alex-certs --help")),
    };
    check_common_name(&name)?;
    let mut files = FileSet::new(&options.dir, options.force)?;
    let authority = Authority::make(&name, options.key_type, options.days.unwrap_or(CA_DAYS))?;
    let made = add_authority(&mut files, &authority, options)?;
    files.finish()?;
    print(&format!("{made}\n"))
}

fn server(options: &Options) -> Result<(), Failure> {
    let mut names = options.arguments.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let first = names.first().cloned();
    names.extend(options.addresses.iter().map(IpAddr::to_string));
    check_hosts(&names)?;
    let file = match (&options.file, first, names.first()) {
        (Some(file), ..) => file.clone(),
        (None, Some(name), _) => file_name_of_host(&name),
        (None, None, _) if options.renew => "alex".into(),
        (None, None, Some(address)) => address.clone(),
        (None, None, None) => {
            return Err(Failure::usage(
                "server needs a NAME or --ip: what do clients call the server?",
            ));
        }
    };
    check_file_name(options, &file)?;
    let files = FileSet::new(&options.dir, options.force || options.renew)?;
    if let Some(old) = old_certificate(options, &file)? {
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
        return Err(Failure::usage(format!("{file}.crt gives no names: server --renew NAME...")));
    }
    identity(options, files, &file, &Subject::Server(names))
}

fn client(options: &Options) -> Result<(), Failure> {
    let [name] = options.arguments.as_slice() else {
        return Err(Failure::usage("client takes one NAME; see echo-alex-certs --help"));
    };
    let name = text(name)?;
    check_common_name(&name)?;
    let file = options.file.clone().unwrap_or_else(|| name.clone());
    check_file_name(options, &file)?;
    let files = FileSet::new(&options.dir, options.force || options.renew)?;
    if old_certificate(options, &file)?.is_some_and(|old| !old.for_clients) {
        return Err(Failure::usage(format!(
            "{file}.crt is a server's certificate: echo-alex-certs server --renew --file {file}"
        )));
    }
    identity(options, files, &file, &Subject::Client(name))
}

/// Refuses names that lead out of the folder, are hidden, or would be the CA's.
fn check_file_name(options: &Options, file: &str) -> Result<(), Failure> {
    let plain_name = Path::new(file).file_name().is_some_and(|name| name == file);
    if !plain_name || file.starts_with('.') {
        return Err(Failure::usage(format!(
            "{file:?} cannot be the name of a file in {}: choose one with --file",
            options.dir.display()
        )));
    }
    if file == "signing" {
        return Err(Failure::usage("signing.key is the CA's: choose another name with --file"));
    }
    Ok(())
}

/// Signs for `subject`, with a new key or, to renew, with the one that is there.
fn identity(
    options: &Options,
    mut files: FileSet,
    file: &str,
    subject: &Subject,
) -> Result<(), Failure> {
    let ca = options.ca();
    let authority = Authority::load(&ca, &ca.with_extension("key"))?;
    let key_name = format!("{file}.key");
    let key = if options.renew {
        let path = options.dir.join(&key_name);
        if !path.exists() {
            let text = "is not there to be kept: without --renew, a new key is made";
            return Err(Failure::new(Exit::NoInput, format!("{} {text}", path.display())));
        }
        Key::load(&path)?
    } else {
        let key = Key::make(options.key_type)?;
        files.add_secret(&key_name, &key.pem())?;
        key
    };
    let made = add_certificate(&mut files, &authority, options, file, subject, &key)?;
    files.finish()?;

    print(&match subject {
        Subject::Client(_) => format!("{made}\n"),
        Subject::Server(names) if options.renew => format!(
            "{made}\nfor {}\na running echo-alex takes it up on SIGHUP: systemctl reload \
             echo-alex\n",
            names.join(", ")
        ),
        Subject::Server(names) => format!("{made}\nfor {}\n", names.join(", ")),
    })
}

fn show(options: &Options) -> Result<(), Failure> {
    if options.arguments.is_empty() {
        return Err(Failure::usage("show needs a FILE; see echo-alex-certs --help"));
    }
    let mut shown = Vec::new();
    for path in options.arguments.iter().map(Path::new) {
        for certificate in load_certificates(path)? {
            shown.push(format!("{}\n{}", path.display(), describe(&certificate)));
        }
    }
    print(&shown.join("\n"))
}

/// Each file is checked, also when one before it was refused.
fn verify_all(options: &Options) -> Result<Exit, Failure> {
    if options.arguments.is_empty() {
        return Err(Failure::usage("verify needs a FILE; see echo-alex-certs --help"));
    }
    let mut exit = Exit::Ok;
    for path in options.arguments.iter().map(Path::new) {
        match verify_one(options, path) {
            Ok(good) => print(&format!("{}: good: {good}\n", path.display()))?,
            Err(failure) => {
                output::note(format_args!("{PROGRAM}: {failure}"));
                exit = failure.exit;
            }
        }
    }
    Ok(exit)
}

/// What is good about a certificate.
fn verify_one(options: &Options, path: &Path) -> Result<String, Failure> {
    let refused = |why: String| Failure::new(Exit::Failure, format!("{}: {why}", path.display()));
    let not_accepted = |why: NotAccepted| refused(why.to_string());
    let ca = options.ca();
    let chain = load_certificates(path)?;
    let roots = load_certificates(&ca)?;
    let leaf = Certificate::parse(&chain[0]).map_err(|why| refused(format!("damaged: {why}")))?;
    let purpose = match options.names.last() {
        Some(name) => Purpose::Server(name),
        None if leaf.for_clients && !leaf.for_servers => Purpose::Client,
        None => {
            let own = leaf.names.iter().find(|name| is_host(name));
            Purpose::Server(own.map_or("localhost", String::as_str))
        }
    };
    verify(&chain, &roots, &ca.display().to_string(), purpose).map_err(not_accepted)?;
    let mut good = vec![leaf.summary()];
    good.push(match purpose {
        Purpose::Client => "for a client".into(),
        Purpose::Server(_) if options.names.is_empty() => format!("for {}", leaf.names.join(", ")),
        Purpose::Server(name) => format!("for {name}"),
    });

    let key_path = options.key.clone().unwrap_or_else(|| path.with_extension("key"));
    let shown = key_path.display();
    if options.key.is_none() && !key_path.exists() {
        return Ok(good.join(", "));
    }
    match load_key(&key_path) {
        Ok(key) => {
            verify_key(&chain, key).map_err(|why| refused(format!("{shown}: {why}")))?;
            good.push(format!("with its key in {shown}"));
        }
        // A key is for its owner; whoever may not read it can still ask about the certificate.
        Err(failure) if options.key.is_none() && failure.exit == Exit::NoPermission => {
            good.push(format!("and {shown} cannot be read to compare"));
        }
        Err(failure) => return Err(failure),
    }
    Ok(good.join(", "))
}

/// Adds `signing.pem` and `signing.key`; gives the line that says what was made.
fn add_authority(
    files: &mut FileSet,
    authority: &Authority,
    options: &Options,
) -> Result<String, Failure> {
    files.add_secret("signing.key", &authority.key_pem())?;
    files.add("signing.pem", authority.pem())?;
    let path = options.dir.join("signing.pem");
    Ok(format!("{}: {}", path.display(), authority.certificate().summary()))
}

/// Signs a certificate and adds it; gives the line that says what was made.
fn add_certificate(
    files: &mut FileSet,
    authority: &Authority,
    options: &Options,
    file: &str,
    subject: &Subject,
    key: &Key,
) -> Result<String, Failure> {
    let signed = authority.sign(subject, key, options.days.unwrap_or(DAYS))?;
    let name = format!("{file}.crt");
    files.add(&name, &signed.pem)?;
    let as_its_ca = signed.certificate.not_after == authority.certificate().not_after;
    Ok(format!(
        "{}: {}{}",
        options.dir.join(name).display(),
        signed.certificate.summary(),
        if as_its_ca { ", when its CA ends" } else { "" }
    ))
}

/// The certificate that a renewal replaces, if there is one.
fn old_certificate(options: &Options, file: &str) -> Result<Option<Certificate>, Failure> {
    let path = options.dir.join(format!("{file}.crt"));
    if !options.renew || !path.exists() {
        return Ok(None);
    }
    let chain = load_certificates(&path)?;
    let old = Certificate::parse(&chain[0])
        .map_err(|why| Failure::config(format!("{}: damaged: {why}", path.display())))?;
    check_clock(&path.display().to_string(), &old)?;
    Ok(Some(old))
}

fn check_hosts(names: &[String]) -> Result<(), Failure> {
    names.iter().try_for_each(|name| check_host(name))
}

/// `alex` for `alex.local`; an address as it is.
fn file_name_of_host(name: &str) -> String {
    if name.parse::<IpAddr>().is_ok() {
        return name.into();
    }
    let label = name.split('.').next().unwrap_or(name);
    if label == "*" { "wildcard".into() } else { label.into() }
}

/// With the machine's name in it, so that two CAs can be told apart.
fn default_ca_name() -> String {
    let name = format!("echo-alex CA of {}", host_name());
    if check_common_name(&name).is_ok() { name } else { "echo-alex CA".into() }
}

fn text(argument: &OsString) -> Result<String, Failure> {
    let invalid = || Failure::usage(format!("{} is not UTF-8", argument.display()));
    argument.to_str().map(Into::into).ok_or_else(invalid)
}

/// To stdout; a reader that has seen enough (`| head -1`) is no fault.
fn print(text: &str) -> Result<(), Failure> {
    output::print(text).map(drop)
}

/// What the command line asks for.
struct Options {
    command: String,
    arguments: Vec<OsString>,
    dir: PathBuf,
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    file: Option<String>,
    renew: bool,
    days: Option<u32>,
    ca: Option<PathBuf>,
    key_type: KeyType,
    key: Option<PathBuf>,
    force: bool,
}

/// The commands, and the options that each of them takes.
const COMMANDS: [(&str, &[&str]); 6] = [
    ("init", &["dir", "name", "days", "key-type", "force"]),
    ("ca", &["dir", "days", "key-type", "force"]),
    ("server", &["dir", "ip", "file", "renew", "days", "ca", "key-type", "force"]),
    ("client", &["dir", "file", "renew", "days", "ca", "key-type", "force"]),
    ("show", &[]),
    ("verify", &["dir", "name", "ca", "key"]),
];

impl Options {
    fn parse() -> Result<Self, Failure> {
        use lexopt::prelude::{Long, Short, Value, ValueExt};

        let usage = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("{error}; see echo-alex-certs --help"))
        };
        let mut options = Self {
            command: String::new(),
            arguments: Vec::new(),
            dir: "certs".into(),
            names: Vec::new(),
            addresses: Vec::new(),
            file: None,
            renew: false,
            days: None,
            ca: None,
            key_type: KeyType::Ecdsa,
            key: None,
            force: false,
        };
        let mut given = Vec::new();
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next().map_err(|e| usage(&e))? {
            if let Long(option) = argument {
                given.push(option.to_string());
            }
            let value = |parser: &mut lexopt::Parser| parser.value().map_err(|e| usage(&e));
            match argument {
                Short('h') | Long("help") => return Ok(Self { command: "help".into(), ..options }),
                Short('V') | Long("version") => {
                    return Ok(Self { command: "version".into(), ..options });
                }
                Long("dir") => options.dir = value(&mut parser)?.into(),
                Long("name") => options.names.push(text(&value(&mut parser)?)?),
                Long("ip") => {
                    let address = value(&mut parser)?.parse().map_err(|e| usage(&e))?;
                    options.addresses.push(address);
                }
                Long("file") => options.file = Some(text(&value(&mut parser)?)?),
                Long("renew") => options.renew = true,
                Long("days") => {
                    let days = value(&mut parser)?.parse().map_err(|e| usage(&e))?;
                    if !(1..=DAYS_MAX).contains(&days) {
                        return Err(Failure::usage(format!("--days {days}: 1 to {DAYS_MAX}")));
                    }
                    options.days = Some(days);
                }
                Long("ca") => options.ca = Some(value(&mut parser)?.into()),
                Long("key-type") => {
                    options.key_type = text(&value(&mut parser)?)?.parse()?;
                }
                Long("key") => options.key = Some(value(&mut parser)?.into()),
                Long("force") => options.force = true,
                Value(word) if options.command.is_empty() => options.command = text(&word)?,
                Value(word) => options.arguments.push(word),
                _ => return Err(usage(&argument.unexpected())),
            }
        }
        options.check(&given)?;
        Ok(options)
    }

    /// An option that a command does not take is a misunderstanding, never to be passed over.
    fn check(&self, given: &[String]) -> Result<(), Failure> {
        let command = &self.command;
        let Some((_, known)) = COMMANDS.iter().find(|(name, _)| name == command) else {
            let names: Vec<&str> = COMMANDS.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ");
            return Err(Failure::usage(if command.is_empty() {
                format!("say what to do: {names}; see echo-alex-certs --help")
            } else {
                format!("there is no command {command:?}, but {names}")
            }));
        };
        match given.iter().find(|option| !known.contains(&option.as_str())) {
            None => Ok(()),
            Some(option) => Err(Failure::usage(format!("{command} takes no --{option}"))),
        }?;
        if self.renew && given.iter().any(|option| option == "key-type") {
            return Err(Failure::usage(
                "--renew keeps the key that is there, and with it its type: leave out --key-type, or \
                 make a new key with --force",
            ));
        }
        if command == "init" && !self.arguments.is_empty() {
            return Err(Failure::usage("init takes names as --name NAME"));
        }
        Ok(())
    }

    /// Completes or removes what an interrupted run has left in the folders that are read. Fails if the
    /// user may read them but not complete them.
    fn settle(&self) -> Result<(), Failure> {
        let reads = matches!(self.command.as_str(), "show" | "verify");
        let (ca, files) = (self.ca(), self.arguments.iter().map(Path::new));
        let named = files.chain(self.key.as_deref()).filter(|_| reads);
        let mut folders: Vec<&Path> =
            named.chain([ca.as_path()]).filter_map(Path::parent).collect();
        folders.push(&self.dir);
        folders.sort_unstable();
        folders.dedup();
        for folder in folders {
            match settle(folder) {
                Ok(false) => {}
                Ok(true) => output::note(format_args!(
                    "{PROGRAM}: {}: completed what an interrupted run had begun",
                    folder.display()
                )),
                Err(failure) if reads => output::note(format_args!("{PROGRAM}: {failure}")),
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// The CA's certificate; its key has the same name and ends in `.key`.
    fn ca(&self) -> PathBuf {
        self.ca.clone().unwrap_or_else(|| self.dir.join("signing.pem"))
    }
}
