//! The log line of a session.

use log::Level;

use super::Session;
use super::other::secured;
use crate::os::clock::Moment;
use crate::tls::certificate::escape::printable;
use crate::wire::link::Wire;

impl<W: Wire> Session<W> {
    /// Logs the end of a session of this listener.
    pub fn log_end(&self, level: Level, listener: &str, now: Moment) {
        let Some(reason) = self.reason() else { return };
        let transport = self.link.transport();
        let tls = secured(transport);
        let agreed = tls.as_ref().map(|it| it.agreed);
        // The answer of the kernel costs five system calls.
        let asks = log::log_enabled!(Level::Debug);
        let tcp_info = asks.then(|| self.tcp_info()).flatten();
        // In the order of the manual.
        log::log!(
            level,
            listener,
            peer:% = self.peer,
            proxy = self.proxy().map(|it| it.to_string()),
            "in" = self.received,
            out = self.sent(),
            duration:% = format_args!("{:.3}s", self.age(now).as_secs_f64()),
            unsent = (self.unsent() > 0).then(|| self.unsent()),
            tls = agreed.map(|it| it.version),
            cipher = agreed.map(|it| it.cipher_suite),
            group = agreed.and_then(|it| it.group),
            resumed = agreed.map(|it| if it.resumed { "yes" } else { "no" }),
            sni = transport.server_name().map(printable),
            alpn = tls.as_ref().and_then(|it| it.alpn.as_deref()),
            client = tls.as_ref().and_then(|it| it.client_certificate.as_deref()),
            rtt = tcp_info.as_ref().map(|it| format!("{:.3}ms", f64::from(it.rtt_us) / 1000.0)),
            retransmits = tcp_info.as_ref().map(|it| it.retransmits),
            reason = reason.name(),
            detail = reason.detail();
            "session"
        );
    }
}
