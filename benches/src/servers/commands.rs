//! The command line of each server, and its configuration.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::transport::Transport;
use crate::Result;
use crate::identity::Identity;

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The folder of the release build of echo-alex.
    pub(crate) product: PathBuf,
    /// The folder of the compiled peers.
    pub(crate) peers: PathBuf,
}

/// What a server needs to start.
pub(super) struct Place<'a> {
    pub(super) port: u16,
    /// The port of the echo server behind a proxy.
    pub(super) echo: u16,
    /// The port of the daemon's web listener.
    pub(super) web: u16,
    /// For its configuration.
    pub(super) folder: &'a Path,
    pub(super) transport: Transport,
    pub(super) identity: Option<&'a Identity>,
}

impl Place<'_> {
    fn identity(&self) -> Result<&Identity> {
        Ok(self.identity.ok_or("TLS needs a certificate")?)
    }
}

pub(super) fn daemon(programs: &Programs, address: Ipv4Addr, place: &Place) -> Result<Command> {
    let settings = place.folder.join("echo-alex.toml");
    let tls = place.identity.map_or_else(String::new, |identity| {
        let (certificate, key) = (identity.certificate.display(), identity.key.display());
        format!("[listener.tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n")
    });
    let transport = if place.transport == Transport::Udp { "transport = \"udp\"\n" } else { &tls };
    let Place { port, web, .. } = place;
    let text = format!(
        "[limits]\nmax-sessions = 12000\nmax-sessions-per-address = 12000\n\
         datagrams-per-second = 1000000000\ndatagrams-per-second-per-address = 1000000000\n\
         [[listener]]\nname = \"bench\"\nlisten = \"{address}:{port}\"\n{transport}\
         [[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:{web}\"\nservice = \"web\"\n{tls}"
    );
    fs::write(&settings, text)?;
    let mut command = Command::new(programs.product.join("echo-alex"));
    command.arg("-c").arg(settings);
    Ok(command)
}

pub(super) fn peer(programs: &Programs, name: &str, place: &Place) -> Command {
    let mut command = Command::new(programs.peers.join(name));
    command.arg(place.port.to_string());
    if let Some(identity) = place.identity {
        command.arg(&identity.certificate).arg(&identity.key);
    }
    command
}

#[allow(clippy::unnecessary_wraps)] // The others can fail.
pub(super) fn socat(place: &Place) -> Result<Command> {
    let mut command = Command::new("socat");
    command.arg(format!(
        "TCP-LISTEN:{},bind=127.0.0.1,reuseaddr,fork,backlog=4096,nodelay",
        place.port
    ));
    command.arg("PIPE");
    Ok(command)
}

pub(super) fn stunnel(place: &Place) -> Result<Command> {
    let (Place { port, echo, .. }, identity) = (place, place.identity()?);
    let settings = place.folder.join("stunnel.conf");
    fs::write(
        &settings,
        format!(
            "foreground = yes\npid =\nsyslog = no\ndebug = err\n\
             socket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n\
             [echo]\naccept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{echo}\n\
             sslVersionMin = TLSv1.2\ncert = {}\nkey = {}\n",
            identity.certificate.display(),
            identity.key.display()
        ),
    )?;
    let mut command = Command::new("stunnel");
    command.arg(settings);
    Ok(command)
}

pub(super) fn nginx(place: &Place) -> Result<Command> {
    // Debian builds it as a module.
    const MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

    let (Place { port, echo, folder, .. }, identity) = (place, place.identity()?);
    let settings = folder.join("nginx.conf");
    let load =
        if Path::new(MODULE).exists() { format!("load_module {MODULE};\n") } else { String::new() };
    fs::write(
        &settings,
        format!(
            "{load}daemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log stderr error;\n\
             events {{ worker_connections 12000; }}\n\
             stream {{\n  server {{\n    listen 127.0.0.1:{port} ssl backlog=4096;\n\
             \x20   ssl_protocols TLSv1.2 TLSv1.3;\n\
             \x20   ssl_certificate {};\n    ssl_certificate_key {};\n\
             \x20   proxy_pass 127.0.0.1:{echo};\n  }}\n}}\n",
            identity.certificate.display(),
            identity.key.display(),
            folder = folder.display(),
        ),
    )?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder).arg("-e").arg("stderr").arg("-c").arg(settings);
    Ok(command)
}

pub(super) fn haproxy(place: &Place) -> Result<Command> {
    let (Place { port, echo, .. }, identity) = (place, place.identity()?);
    let settings = place.folder.join("haproxy.cfg");
    fs::write(
        &settings,
        format!(
            "global\n  maxconn 9000\n  nbthread 1\n  ssl-default-bind-options ssl-min-ver TLSv1.2\n\
             defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 1h\n  timeout server 1h\n\
             listen echo\n  bind 127.0.0.1:{port} ssl crt {} backlog 4096\n  server echo 127.0.0.1:{echo}\n",
            identity.both.display()
        ),
    )?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(settings);
    Ok(command)
}
