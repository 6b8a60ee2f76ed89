//! Plans and how listeners follow them, with sockets on loopback and without an event loop.

use std::net::TcpListener;

use mio::Poll;

use super::*;
use crate::config::{Config, Source};

/// The settings of a listener called "alex", with these lines in its table.
fn settings(lines: &str) -> config::Listener {
    let text = format!("[[listener]]\nname = \"alex\"\n{lines}\n");
    Config::parse(&text, &Source::BuiltIn).unwrap().listeners.remove(0)
}

/// A listener on a port of 127.0.0.1 that the system chooses.
fn anywhere() -> config::Listener {
    settings("listen = \"127.0.0.1:0\"")
}

/// A socket as the service manager hands it over, called `name`.
fn handed_over(name: &str) -> HandedOver {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap().into();
    HandedOver { name: name.into(), socket, transport: Transport::Tcp }
}

/// What is planned for `configured`, followed; gives the keys of the sockets that no listener has.
fn follow(
    listeners: &mut Listeners,
    configured: config::Listener,
    handed_over: Vec<HandedOver>,
) -> Vec<usize> {
    let plans = listeners.plan(vec![configured], None, handed_over).unwrap();
    listeners.follow(plans, Poll::new().unwrap().registry()).unwrap()
}

fn addresses(listeners: &Listeners) -> Vec<SocketAddr> {
    listeners.sockets.iter().map(|(_, socket)| socket.address).collect()
}

#[test]
fn a_reload_keeps_the_sockets_that_are_wanted_and_names_the_others() {
    let mut listeners = Listeners::default();
    assert!(follow(&mut listeners, anywhere(), Vec::new()).is_empty());
    let before = addresses(&listeners);
    assert!(follow(&mut listeners, anywhere(), Vec::new()).is_empty());
    assert_eq!(addresses(&listeners), before, "it is the same socket");

    let elsewhere = settings("listen = \"127.0.0.2:0\"");
    let gone = follow(&mut listeners, elsewhere, Vec::new());
    assert_eq!(gone.len(), 1);
    assert_eq!(listeners.socket(gone[0]).unwrap().address, before[0]);
    listeners.close(gone[0]);
    assert_eq!(addresses(&listeners).len(), 1);
}

#[test]
fn a_socket_is_handed_over_to_the_listener_with_its_name_or_its_port() {
    let by_port = handed_over("another");
    let port = by_port.socket.local_addr().unwrap().as_socket().unwrap().port();
    let all = vec![handed_over("alex"), by_port, handed_over("stranger")];
    let mut listeners = Listeners::default();
    let by_port = settings(&format!("listen = \"127.0.0.1:{port}\""));
    follow(&mut listeners, by_port, all);
    // Nothing is bound beside them.
    assert_eq!(addresses(&listeners).len(), 2);
    assert!(listeners.sockets.iter().all(|(_, socket)| !socket.is_ours()));

    // At a reload they stay, whatever the listener's address is by then.
    assert!(follow(&mut listeners, anywhere(), Vec::new()).is_empty());
    assert_eq!(addresses(&listeners).len(), 2);
}

#[test]
fn what_a_listener_counted_outlives_it() {
    let mut listeners = Listeners::default();
    follow(&mut listeners, anywhere(), Vec::new());
    let alex = listeners.iter().next().unwrap().0;
    listeners.get_mut(alex).counters.accepted = 3;
    listeners.forget_if_retired(alex);
    assert_eq!(listeners.iter().count(), 1, "it has a socket");

    let another = settings("listen = \"127.0.0.2:0\"");
    follow(&mut listeners, config::Listener { name: "another".into(), ..another }, Vec::new());
    assert_eq!(listeners.retired(), [alex]);
    let peer = "192.0.2.1".parse().unwrap();
    listeners.get_mut(alex).admission.enter(Some(peer));
    listeners.forget_if_retired(alex);
    assert_eq!(listeners.iter().count(), 2, "it has a session");
    listeners.get_mut(alex).admission.leave(Some(peer));
    listeners.forget_if_retired(alex);
    assert_eq!(listeners.iter().count(), 1);
    assert_eq!(listeners.past()["alex"].accepted, 3);

    for key in listeners.socket_keys() {
        if listeners.socket(key).is_some_and(|socket| socket.listener == alex) {
            listeners.close(key);
        }
    }
    follow(&mut listeners, anywhere(), Vec::new());
    let back = listeners.iter().find(|(_, listener)| listener.name == "alex").unwrap().1;
    assert_eq!((back.counters.accepted, listeners.past().len()), (3, 0), "it goes on counting");
}
