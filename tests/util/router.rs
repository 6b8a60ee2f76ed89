//! A router between two networks, each with a host: three network namespaces.

use std::process::Command;

use super::emulated;
use super::network::Namespace;
use super::programs::{outcome, tool};

/// The addresses of the far host, which are for documentation (RFC 5737, RFC 3849).
pub const FAR: [&str; 2] = ["192.0.2.6", "2001:db8:2::2"];

/// The addresses of the near host.
pub const NEAR: [&str; 2] = ["192.0.2.1", "2001:db8:1::2"];

/// The addresses of the router, towards the near host and towards the far one.
pub const TO_NEAR: [&str; 2] = ["192.0.2.2", "2001:db8:1::1"];
pub const TO_FAR: [&str; 2] = ["192.0.2.5", "2001:db8:2::1"];

/// The hosts and the router. The test is on the near host.
pub struct Router {
    near: Namespace,
    between: Namespace,
    far: Namespace,
}

impl Router {
    /// Networks with IPv4 and IPv6, of which the far one has this MTU; `None`, with a word why, where that is
    /// not possible.
    pub fn new(mtu: &str) -> Option<Self> {
        if emulated() {
            eprintln!("skipped: namespaces are not emulated");
            return None;
        }
        for name in ["ip", "nsenter"] {
            tool(name)?;
        }
        let router = Namespace::new()?;
        let (near, far) = (router.another(), router.another());
        let it = Self { near, between: router, far };
        for (host, one, other) in [(&it.near, "n0", "r0"), (&it.far, "f0", "r1")] {
            let words = ["link", "add", other, "type", "veth", "peer", "name", one, "netns"];
            let namespace = host.process().to_string();
            outcome(it.between.command("ip").args(words).arg(namespace));
        }
        let interfaces = [
            (&it.near, "n0", "192.0.2.1/30", "2001:db8:1::2/64", "1500"),
            (&it.between, "r0", "192.0.2.2/30", "2001:db8:1::1/64", "1500"),
            (&it.between, "r1", "192.0.2.5/30", "2001:db8:2::1/64", mtu),
            (&it.far, "f0", "192.0.2.6/30", "2001:db8:2::2/64", mtu),
        ];
        for (host, name, v4, v6, mtu) in interfaces {
            ip(host, &["link", "set", name, "mtu", mtu, "up"]);
            ip(host, &["address", "add", v4, "dev", name]);
            ip(host, &["address", "add", v6, "dev", name, "nodad"]);
        }
        for (host, [v4, v6]) in [(&it.near, TO_NEAR), (&it.far, TO_FAR)] {
            ip(host, &["route", "add", "default", "via", v4]);
            ip(host, &["-6", "route", "add", "default", "via", v6]);
        }
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward && \
                       echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";
        if !it.between.command("sh").args(["-c", forward]).status().unwrap().success() {
            eprintln!("skipped: this user may not make a router");
            return None;
        }
        Some(it)
    }

    /// A command on the near host.
    pub fn near(&self, program: &str) -> Command {
        self.near.command(program)
    }

    /// A command on the far host.
    pub fn far(&self, program: &str) -> Command {
        self.far.command(program)
    }

    /// A command on the router.
    pub fn between(&self, program: &str) -> Command {
        self.between.command(program)
    }

    /// A script that executes `"$@"` on the router.
    pub fn script_for_between(&self) -> String {
        self.between.script()
    }

    /// A script that executes `"$@"` on the near host.
    pub fn script_for_near(&self) -> String {
        self.near.script()
    }

    /// A script that executes `"$@"` on the far host.
    pub fn script_for_far(&self) -> String {
        self.far.script()
    }

    /// Gives the near host a route to `address` with this MTU.
    pub fn limit_there(&self, address: &str, mtu: &str) {
        let gateway = TO_NEAR[usize::from(address.contains(':'))];
        ip(&self.near, &["route", "replace", address, "via", gateway, "mtu", mtu]);
    }

    /// Gives the router routes to the near host with this MTU.
    pub fn limit_back(&self, mtu: &str) {
        for address in NEAR {
            ip(&self.between, &["route", "replace", address, "dev", "r0", "mtu", mtu]);
        }
    }

    /// Has the router apply a rule of nftables to what it sends itself (`output`) or passes on (`forward`);
    /// `false`, with a word why, where that is not possible.
    pub fn rule(&self, hook: &str, rule: &str) -> bool {
        if tool("nft").is_none() {
            return false;
        }
        let text = format!(
            "add table inet t; add chain inet t {hook} {{ type filter hook {hook} priority 0; }}; \
             add rule inet t {hook} {rule}"
        );
        let done = self.between.command("nft").arg(text).output().unwrap();
        if !done.status.success() {
            eprintln!("skipped: nft: {}", String::from_utf8_lossy(&done.stderr));
        }
        done.status.success()
    }
}

fn ip(host: &Namespace, words: &[&str]) {
    outcome(host.command("ip").args(words));
}
