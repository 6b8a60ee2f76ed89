//! The servers: which there are, how one starts, what it uses, and its end.

use std::env;
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::identity::Identity;
use crate::{Result, machine};

/// How long a server may take to start, also under valgrind.
const START: Duration = Duration::from_secs(30);
/// How long a server may take to end before it is killed.
const STOP: Duration = Duration::from_secs(10);

/// One of those that are compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) tls: bool,
    how: How,
}

#[derive(Clone, Copy, Debug)]
enum How {
    /// The daemon itself.
    Daemon,
    /// `PROGRAM PORT [CERT KEY]` that stands beside this program, or that `benches/run` compiled.
    Peer,
    /// A program of the system, which is a proxy before the epoll loop or an echo of its own.
    System(fn(&Place) -> Result<Command>),
}

/// All of them; the first of its transport is what is measured, the second one is 1.
pub(crate) const ALL: [Kind; 13] = [
    Kind { name: "echo-alex", tls: false, how: How::Daemon },
    Kind { name: "epoll", tls: false, how: How::Peer },
    Kind { name: "tokio", tls: false, how: How::Peer },
    Kind { name: "mio", tls: false, how: How::Peer },
    Kind { name: "threads", tls: false, how: How::Peer },
    Kind { name: "socat", tls: false, how: How::System(socat) },
    Kind { name: "echo-alex", tls: true, how: How::Daemon },
    Kind { name: "epoll-openssl", tls: true, how: How::Peer },
    Kind { name: "tokio-rustls", tls: true, how: How::Peer },
    Kind { name: "threads-openssl", tls: true, how: How::Peer },
    Kind { name: "nginx", tls: true, how: How::System(nginx) },
    Kind { name: "haproxy", tls: true, how: How::System(haproxy) },
    Kind { name: "stunnel", tls: true, how: How::System(stunnel) },
];

/// The name for people: what is only a proxy says what it stands before.
pub(crate) fn title(name: &str, tls: bool) -> String {
    let is_proxy = |kind: &Kind| kind.name == name && tls && kind.is_extra();
    if ALL.iter().any(is_proxy) { format!("{name} + epoll") } else { name.to_owned() }
}

/// Where the programs stand.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The release build of the product.
    pub(crate) product: PathBuf,
    /// The peers.
    pub(crate) peers: PathBuf,
}

/// What a server needs to start.
struct Place<'a> {
    port: u16,
    /// Of the echo behind it.
    echo: u16,
    folder: &'a Path,
    identity: Option<&'a Identity>,
}

impl Place<'_> {
    fn identity(&self) -> Result<&Identity> {
        Ok(self.identity.ok_or("TLS needs a certificate")?)
    }
}

/// A server that runs.
pub(crate) struct Server {
    children: Vec<Child>,
    pub(crate) port: u16,
    /// Its files.
    folder: tempfile::TempDir,
}

impl Kind {
    /// What its figures are ratios to.
    pub(crate) fn reference(tls: bool) -> &'static str {
        if tls { "epoll-openssl" } else { "epoll" }
    }

    /// Whether it is a program of the system that is there only to be named, on few workloads.
    pub(crate) fn is_extra(self) -> bool {
        matches!(self.how, How::System(_))
    }

    pub(crate) fn is_daemon(self) -> bool {
        matches!(self.how, How::Daemon)
    }

    /// Whether it can be started here.
    pub(crate) fn is_installed(self) -> bool {
        let path = env::var_os("PATH").unwrap_or_default();
        !self.is_extra() || env::split_paths(&path).any(|folder| folder.join(self.name).exists())
    }

    /// Starts it, below `wrapper` if that is not empty: a tracer and its arguments.
    pub(crate) fn start(
        self,
        programs: &Programs,
        identity: Option<&Identity>,
        wrapper: &[String],
    ) -> Result<Server> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().to_owned();
        let place = Place {
            port: free_port()?,
            echo: free_port()?,
            folder: &path,
            identity: identity.filter(|_| self.tls),
        };
        // Whatever fails from here on, those that were started are stopped.
        let mut server = Server { children: Vec::new(), port: place.port, folder };
        let command = match self.how {
            How::Daemon => daemon(programs, &place)?,
            How::Peer => peer(programs, self.name, &place),
            How::System(command) => {
                if self.tls {
                    let mut echo = Command::new(programs.peers.join("epoll"));
                    server.spawn(echo.arg(place.echo.to_string()))?;
                }
                command(&place)?
            }
        };
        server.spawn(&mut below(wrapper, &command))?;
        server.wait().map_err(|error| format!("{}: {error}", self.name))?;
        Ok(server)
    }
}

impl Server {
    fn spawn(&mut self, command: &mut Command) -> Result<()> {
        let log = File::create(self.folder.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = machine::spawn_server(command)
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        self.children.push(child);
        Ok(())
    }

    /// Until it accepts.
    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            for child in &mut self.children {
                if let Some(status) = child.try_wait()? {
                    return Err(format!("ended at once, {status}: {}", self.log()).into());
                }
            }
            if Instant::now() > deadline {
                return Err(format!("does not listen: {}", self.log()).into());
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// The last of what it said.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        log.lines().last().unwrap_or("without a word").to_owned()
    }

    /// The process that was started last.
    pub(crate) fn pid(&self) -> u32 {
        self.children.last().map_or(0, Child::id)
    }

    fn pids(&self) -> impl Iterator<Item = u32> {
        self.children.iter().map(Child::id)
    }

    pub(crate) fn processor_time(&self) -> Duration {
        machine::processor_time(self.pids())
    }

    pub(crate) fn memory(&self) -> u64 {
        machine::memory(self.pids())
    }

    /// Ends it; its files stay as long as this value.
    pub(crate) fn stop(&mut self) {
        for child in &self.children {
            machine::terminate(child);
        }
        let deadline = Instant::now() + STOP;
        for child in &mut self.children {
            while matches!(child.try_wait(), Ok(None)) {
                if Instant::now() > deadline {
                    let _ = child.kill();
                }
                thread::sleep(Duration::from_millis(2));
            }
        }
        self.children.clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port that nobody uses, so that no two runs share one: what the kernel remembers of the
/// connections of one does not touch the next.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// `command` as the arguments of `wrapper`.
fn below(wrapper: &[String], command: &Command) -> Command {
    let Some((program, options)) = wrapper.split_first() else {
        let mut same = Command::new(command.get_program());
        same.args(command.get_args());
        return same;
    };
    let mut whole = Command::new(program);
    whole.args(options).arg(command.get_program()).args(command.get_args());
    whole
}

fn daemon(programs: &Programs, place: &Place) -> Result<Command> {
    let settings = place.folder.join("echo-alex.toml");
    let mut text = format!(
        "[limits]\nmax-sessions = 12000\nmax-sessions-per-address = 12000\n\
         [[listener]]\nname = \"bench\"\nlisten = \"127.0.0.1:{}\"\n",
        place.port
    );
    if let Some(identity) = place.identity {
        let (certificate, key) = (identity.certificate.display(), identity.key.display());
        let table = format!("[listener.tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
        text.push_str(&table);
    }
    fs::write(&settings, text)?;
    let mut command = Command::new(programs.product.join("echo-alex"));
    command.arg("-c").arg(settings);
    Ok(command)
}

fn peer(programs: &Programs, name: &str, place: &Place) -> Command {
    let mut command = Command::new(programs.peers.join(name));
    command.arg(place.port.to_string());
    if let Some(identity) = place.identity {
        command.arg(&identity.certificate).arg(&identity.key);
    }
    command
}

#[allow(clippy::unnecessary_wraps)] // As the others.
fn socat(place: &Place) -> Result<Command> {
    let mut command = Command::new("socat");
    command.arg(format!(
        "TCP-LISTEN:{},bind=127.0.0.1,reuseaddr,fork,backlog=4096,nodelay",
        place.port
    ));
    command.arg("PIPE");
    Ok(command)
}

fn stunnel(place: &Place) -> Result<Command> {
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

fn nginx(place: &Place) -> Result<Command> {
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

fn haproxy(place: &Place) -> Result<Command> {
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
