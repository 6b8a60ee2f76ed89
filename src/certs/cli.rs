//! The command line of echo-alex-certs. This definition gives the parser, the help, the completions of
//! the shells and the options of the manual page.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint, value_parser};

use crate::certs::authority::{CA_DAYS, DAYS};
use crate::certs::key::KeyType;

/// The name of the program.
pub const PROGRAM: &str = "echo-alex-certs";

/// The most days that a certificate can be valid: a hundred years.
const DAYS_MAX: i64 = 36_500;

/// Make, show and verify the certificates of echo-alex
#[derive(Debug, Parser)]
#[command(
    name = PROGRAM,
    version,
    propagate_version = true,
    arg_required_else_help = false,
    max_term_width = 80,
    args_override_self = true,
    disable_help_subcommand = true,
    after_help = "echo-alex-certs COMMAND -h shows the options of a command."
)]
pub struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

/// The definition of the command line.
pub fn command() -> clap::Command {
    Arguments::command()
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a CA, a server (alex) and a client (laptop)
    ///
    /// Then print the lines of the daemon's configuration and the command of the client that use them.
    Init(Init),
    /// Make a CA: signing.pem and signing.key
    ///
    /// Without a NAME, it is called `echo-alex CA of` and the host name of this machine.
    Ca(Ca),
    /// Make a key and sign a certificate for a server
    ///
    /// Each NAME is a host name or an address. A host name may begin with `*.` which stands for any one
    /// label before two or more others. The files are named after the first NAME up to its first dot:
    /// `alex.crt` and `alex.key` for alex.local.
    Server(Server),
    /// Make a key and sign a certificate for a client
    ///
    /// The files are named after NAME: `laptop.crt` and `laptop.key` for laptop.
    Client(Client),
    /// Print what certificates say
    ///
    /// For each certificate in the files these are subject, issuer, serial number, names, validity, key,
    /// use, limits (the name constraints of a CA, if it has any) and SHA-256 fingerprint. Characters
    /// that a terminal acts on are escaped.
    Show(Show),
    /// Verify chain, dates, name, use and key
    ///
    /// A certificate passes if a peer would accept it: the CA or a CA below it signed it, it is valid
    /// now, it has the name, and it is for a server or client and not a CA's. The key beside it (the
    /// same name, ending in `.key`) must belong to it.
    Verify(Verify),
    /// Make the keys of session tickets, or rotate them
    ///
    /// Daemons that share the FILE resume the TLS sessions of each other.
    Tickets(Tickets),
}

#[derive(Debug, Args)]
pub(super) struct Init {
    /// Name or address of the server; may be repeated
    ///
    /// Without it, the server has the host name of this machine, alone and with `.local`, localhost,
    /// and the addresses of this machine.
    #[arg(long = "name", value_name = "NAME", value_hint = ValueHint::Hostname)]
    pub(super) names: Vec<String>,
    /// How many days the certificates are valid
    ///
    /// The CA is valid for 3650 days, or for N if that is more.
    #[arg(
        long, value_name = "N", default_value_t = DAYS,
        value_parser = value_parser!(u32).range(1..=DAYS_MAX), value_hint = ValueHint::Other
    )]
    pub(super) days: u32,
    #[command(flatten)]
    pub(super) key: KeyOptions,
    #[command(flatten)]
    pub(super) output: Output,
}

#[derive(Debug, Args)]
pub(super) struct Ca {
    /// Name of the CA (echo-alex CA of this machine)
    #[arg(value_hint = ValueHint::Other)]
    pub(super) name: Option<String>,
    /// How many days the CA is valid
    #[arg(
        long, value_name = "N", default_value_t = CA_DAYS,
        value_parser = value_parser!(u32).range(1..=DAYS_MAX), value_hint = ValueHint::Other
    )]
    pub(super) days: u32,
    #[command(flatten)]
    pub(super) key: KeyOptions,
    #[command(flatten)]
    pub(super) output: Output,
}

#[derive(Debug, Args)]
pub(super) struct Server {
    /// Host names and addresses by which clients call it
    #[arg(value_name = "NAME", value_hint = ValueHint::Hostname)]
    pub(super) names: Vec<String>,
    /// Address of the server; may be repeated
    #[arg(long = "ip", value_name = "ADDRESS", value_hint = ValueHint::Other)]
    pub(super) addresses: Vec<IpAddr>,
    #[command(flatten)]
    pub(super) sign: SignOptions,
}

#[derive(Debug, Args)]
pub(super) struct Client {
    /// Name of the client
    #[arg(value_hint = ValueHint::Other)]
    pub(super) name: String,
    #[command(flatten)]
    pub(super) sign: SignOptions,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Certificates (PEM)
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub(super) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Certificates (PEM)
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub(super) files: Vec<PathBuf>,
    /// Name that clients use
    ///
    /// Without it, any name that the certificate has will do.
    #[arg(long, value_hint = ValueHint::Hostname)]
    pub(super) name: Option<String>,
    /// Key to compare with the certificate
    ///
    /// Without it, this is the key beside the certificate, if there is one.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) key: Option<PathBuf>,
    #[command(flatten)]
    pub(super) ca: CaOption,
    #[command(flatten)]
    pub(super) dir: DirOption,
}

#[derive(Debug, Args)]
pub(super) struct Tickets {
    /// File of the keys
    #[arg(value_hint = ValueHint::FilePath)]
    pub(super) file: PathBuf,
    /// Drop the oldest key, and add a new one at the end
    ///
    /// Keys that have ended are replaced, too. Owner, group and mode of the file stay.
    #[arg(long, conflicts_with = "force")]
    pub(super) rotate: bool,
    /// Replace an existing file
    ///
    /// Without it, an existing file is an error.
    #[arg(long)]
    pub(super) force: bool,
}

/// For a certificate that a CA signs.
#[derive(Debug, Args)]
pub(super) struct SignOptions {
    /// Keep the key, and sign a new certificate for it
    ///
    /// A server's certificate keeps its names and gets those that are given; without a NAME or --file,
    /// it is `alex.crt`. A running echo-alex(8) takes the new certificate on SIGHUP; sessions continue.
    #[arg(long, conflicts_with = "key_type")]
    pub(super) renew: bool,
    /// Call the files NAME.crt and NAME.key
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other)]
    pub(super) file: Option<String>,
    /// How many days the certificate is valid
    ///
    /// It never outlives the CA. The validity begins a day early, for peers whose clocks are slow.
    #[arg(
        long, value_name = "N", default_value_t = DAYS,
        value_parser = value_parser!(u32).range(1..=DAYS_MAX), value_hint = ValueHint::Other
    )]
    pub(super) days: u32,
    #[command(flatten)]
    pub(super) key: KeyOptions,
    #[command(flatten)]
    pub(super) ca: CaOption,
    #[command(flatten)]
    pub(super) output: Output,
}

#[derive(Debug, Args)]
pub(super) struct KeyOptions {
    /// Type of the key; ecdsa is on P-256
    ///
    /// RSA keys can be signed but not made; see the examples.
    #[arg(long, value_name = "TYPE", default_value = "ecdsa", value_parser = key_type())]
    pub(super) key_type: KeyType,
}

#[derive(Debug, Args)]
pub(super) struct CaOption {
    /// Certificate of the CA (DIR/signing.pem)
    ///
    /// To sign, its key is beside it, ending in `.key`. Another program may have made the CA, and
    /// another CA may have signed it; the file then has the certificates up to the root, its own first.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Output {
    #[command(flatten)]
    pub(super) dir: DirOption,
    /// Replace existing files
    ///
    /// Without it, an existing file is an error.
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(Debug, Args)]
pub(super) struct DirOption {
    /// Folder of the files
    ///
    /// It is made if it does not exist.
    #[arg(long, default_value = "certs", value_hint = ValueHint::DirPath)]
    pub(super) dir: PathBuf,
}

impl CaOption {
    /// The CA's certificate; its key has the same name and ends in `.key`.
    pub(super) fn path(&self, dir: &DirOption) -> PathBuf {
        self.ca.clone().unwrap_or_else(|| dir.dir.join("signing.pem"))
    }
}

/// RSA is parsed too, for an error that says what to do.
fn key_type() -> impl TypedValueParser<Value = KeyType> {
    let values = [PossibleValue::new("ecdsa"), PossibleValue::new("ed25519")];
    let hidden = PossibleValue::new("rsa").hide(true);
    PossibleValuesParser::new(values.into_iter().chain([hidden]))
        .try_map(|text| text.parse::<KeyType>())
}
