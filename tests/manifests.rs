//! What is shipped for Kubernetes, Docker Compose and `HAProxy` fits the daemon: its configuration, its ports and how
//! long it takes to stop. `HAProxy` itself balances and follows a drain. packaging/image/check runs the manifests.
#![cfg(not(target_arch = "arm"))] // The files are the same there.

mod util;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use echo_alex::testing::{Config, Source};
use rustix::process::Signal;
use util::documents::{path, read};
use util::{
    Daemon, ReservedPort, Running, TLS, WEB, folder_with_certificates, run, tool, wait_until,
};

const KUBERNETES: &str = "packaging/kubernetes/echo-alex.yaml";
const COMPOSE: &str = "packaging/compose/compose.yaml";
const HAPROXY: &str = "packaging/haproxy/haproxy.cfg";

/// The configuration in the `ConfigMap`.
fn config_map() -> String {
    let manifests = read(KUBERNETES);
    let (_, text) = manifests.split_once("echo-alex.toml: |\n").unwrap();
    let lines = text.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    lines.map(str::trim_start).collect::<Vec<_>>().join("\n")
}

fn compose_config() -> String {
    read("packaging/compose/echo-alex.toml")
}

fn parse(text: &str) -> Config {
    Config::parse(text, &Source::BuiltIn).unwrap()
}

/// The values of a key in a file of YAML.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let starts = format!("{key}: ");
    text.lines().filter_map(|line| line.trim().strip_prefix(&starts)).collect()
}

#[test]
fn the_configurations_pass_the_check_of_the_daemon() {
    for text in [config_map(), compose_config()] {
        let folder = folder_with_certificates();
        let text = text.replace("../certs/tls.", "alex.").replace("certs/alex.", "alex.");
        fs::write(folder.path().join("echo-alex.toml"), text).unwrap();
        let file = folder.path().join("echo-alex.toml");
        let (code, stdout, stderr) = run(&["--check", "-c", file.to_str().unwrap()]);
        assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    }
}

#[test]
fn whoever_stops_the_daemon_waits_for_drain_delay_and_drain_timeout() {
    let seconds = |text: &str| Duration::from_secs(text.trim_end_matches('s').parse().unwrap());
    for (file, key, config) in [
        (KUBERNETES, "terminationGracePeriodSeconds", config_map()),
        (COMPOSE, "stop_grace_period", compose_config()),
    ] {
        let config = parse(&config);
        let longest = config.drain_delay + config.drain_timeout.unwrap();
        let text = read(file);
        let [grace] = values(&text, key)[..] else { panic!("{file}: {key}") };
        assert!(seconds(grace) >= longest + Duration::from_secs(5), "{file}: {grace}, {longest:?}");
    }
    // Those who balance have noticed by then, even if their last probe was just before.
    let noticed =
        |delay: Duration, every: u64, times: u64| delay > Duration::from_secs(every * times + 1);
    assert!(read(KUBERNETES).contains("periodSeconds: 2\n            failureThreshold: 2"));
    assert!(noticed(parse(&config_map()).drain_delay, 2, 2));
    assert!(read(HAPROXY).contains("inter 2s fall 2"));
    assert!(noticed(parse(&compose_config()).drain_delay, 2, 2));
}

#[test]
fn probes_get_in_when_the_echoes_are_full() {
    for config in [config_map(), compose_config()].map(|text| parse(&text)) {
        let of_echo =
            config.listeners.iter().filter_map(|listener| listener.limits.sessions).sum::<usize>();
        assert!(of_echo > 0 && config.limits.sessions.unwrap() > of_echo, "{config:?}");
    }
}

#[test]
fn services_probes_and_balancers_name_ports_of_the_configuration() {
    let ports = |config: Config| {
        let all = config.listeners.into_iter().flat_map(|listener| listener.endpoints);
        let mut all: Vec<u16> = all.map(|endpoint| endpoint.addresses()[0].port()).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    assert_eq!(ports(parse(&config_map())), [5000, 5001, 5080]);
    assert_eq!(ports(parse(&compose_config())), [5000, 5001, 5080]);
    for (file, names) in [
        (KUBERNETES, &["containerPort: ", "targetPort: ", "port: "][..]),
        (HAPROXY, &["bind :", "check port ", "alex1:", "alex2:", "alex3:"]),
        (
            "packaging/image/Containerfile",
            &["EXPOSE ", "EXPOSE 5000/tcp ", "EXPOSE 5000/tcp 5001/tcp "],
        ),
    ] {
        let text = read(file);
        for name in names {
            let found: Vec<&str> = text.split(name).skip(1).collect();
            assert!(!found.is_empty(), "{file}: {name}");
            for rest in found {
                let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
                assert!(
                    ["5000", "5001", "5080"].contains(&number.as_str()),
                    "{file}: {name}{number}"
                );
            }
        }
    }
}

#[test]
fn images_have_the_version_of_the_program() {
    let version = env!("CARGO_PKG_VERSION");
    for file in [KUBERNETES, COMPOSE] {
        let image = format!("image: localhost/echo-alex:{version}\n");
        assert!(read(file).contains(&image), "{file}");
    }
}

#[test]
fn the_manifests_are_what_kubernetes_accepts() {
    // .ci/tools has it in a folder of its own.
    let name = "kubernetes-validate";
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin").join(name);
    let found = if ours.exists() { Some(Command::new(ours)) } else { tool(name) };
    let Some(mut validate) = found else { return };
    util::outcome(validate.args(["--strict", "--quiet"]).arg(path(KUBERNETES)));
}

/// `HAProxy` with its shipped configuration before these daemons, and where it listens for plain TCP.
fn balancer(daemons: &[Daemon]) -> Option<(Running, SocketAddr)> {
    let mut command = tool("haproxy")?;
    let (plain, tls) = (ReservedPort::new(), ReservedPort::new());
    let mut text = read(HAPROXY)
        .replace("bind :5000", &format!("bind 127.0.0.1:{}", plain.number))
        .replace("bind :5001", &format!("bind 127.0.0.1:{}", tls.number))
        .replace("inter 2s", "inter 100ms");
    for (number, daemon) in (1..).zip(daemons) {
        let web = daemon.address("web").port();
        for (port, name) in [(5000, "plain"), (5001, "tls")] {
            let shipped = format!("alex{number}:{port}");
            assert!(text.contains(&shipped), "{shipped}");
            text = text.replace(&shipped, &format!("{} check port {web}", daemon.address(name)));
        }
    }
    let file = daemons[0].path("haproxy.cfg");
    fs::write(&file, text).unwrap();
    util::outcome(tool("haproxy")?.arg("-c").arg("-f").arg(&file));
    command.arg("-db").arg("-f").arg(&file);
    Some((Running::start_server(command, &plain), ([127, 0, 0, 1], plain.number).into()))
}

/// Whether this comes back.
fn echoes(mut stream: &TcpStream) -> bool {
    stream.write_all(b"here").is_ok() && stream.read_exact(&mut [0; 4]).is_ok()
}

#[test]
fn haproxy_balances_and_takes_no_new_connection_to_a_daemon_that_drains() {
    let config = format!("[limits]\ndrain-delay = \"1h\"\n{}{TLS}{WEB}", util::PLAIN);
    let mut daemons: Vec<Daemon> =
        (0..3).map(|_| Daemon::start_in(folder_with_certificates(), &config, |_| {})).collect();
    let Some((_haproxy, address)) = balancer(&daemons) else { return };
    let sessions =
        |daemon: &Daemon| util::field(&daemon.statistics(), "sessions").parse::<usize>().unwrap();
    let connect = |count: usize| (0..count).map(|_| util::connect(address)).collect::<Vec<_>>();

    let held = connect(30);
    assert!(held.iter().all(echoes));
    assert!(daemons.iter().all(|daemon| sessions(daemon) >= 5), "they are not balanced");

    daemons[0].signal(Signal::QUIT);
    // It takes connections for an hour, but HAProxy gives it none.
    wait_until("HAProxy has noticed", || {
        let before = sessions(&daemons[0]);
        let new = connect(12);
        assert!(new.iter().all(echoes));
        sessions(&daemons[0]) <= before
    });
    assert!(held.iter().all(echoes), "a daemon that drains keeps its sessions");

    let killed = daemons.remove(1);
    let its_own = sessions(&killed);
    drop(killed);
    assert!(held.iter().filter(|stream| echoes(stream)).count() >= 30 - its_own);
    wait_until("HAProxy has noticed", || connect(6).iter().all(echoes));
}
