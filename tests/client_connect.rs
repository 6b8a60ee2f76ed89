//! The client while it resolves and connects: addresses that do not answer, Ctrl-C meanwhile.

mod util;

use rustix::process::Signal;
use util::client::{Client, silent};
use util::{SILENT_RESOLVER, preload};

#[test]
fn ctrl_c_ends_a_client_that_is_connecting() {
    let (_socket, _queue, address) = silent();
    let port = address.port().to_string();
    for signal in [Signal::INT, Signal::TERM] {
        for mode in [&[][..], &["ping"], &["bench"]] {
            let arguments = [mode, &["--timeout=600", "127.0.0.1", &port]].concat();
            let mut client = Client::start(&arguments, |_| {});
            client.wait_for("127.0.0.1 is 127.0.0.1");
            client.signal(signal);
            assert_eq!(client.end(), 130, "{mode:?}");
        }
    }
}

#[test]
fn ctrl_c_ends_a_client_that_is_resolving() {
    if util::emulated() {
        eprintln!("skipped: the compiler makes nothing for the emulator");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = preload(SILENT_RESOLVER, folder.path()) else { return };
    for signal in [Signal::INT, Signal::TERM] {
        let mut client = Client::start(&["--timeout=600", "alex.invalid"], |command| {
            command.env("LD_PRELOAD", &library);
        });
        client.wait_for("resolving");
        client.signal(signal);
        assert_eq!(client.end(), 130);
    }
    let mut client = Client::start(&["--timeout=0.1", "alex.invalid"], |command| {
        command.env("LD_PRELOAD", &library);
    });
    client.wait_for("no address from the resolver within 0.1 s");
    assert_eq!(client.end(), 4);
}

#[test]
fn an_address_that_does_not_answer_fails_after_the_timeout() {
    let (_socket, _queue, address) = silent();
    let port = address.port().to_string();
    let mut client = Client::start(&["--timeout=0.2", "127.0.0.1", &port], |_| {});
    client.wait_for(&format!("cannot connect to 127.0.0.1: {address}: timed out"));
    assert_eq!(client.end(), 4);
}
