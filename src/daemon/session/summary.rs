//! The log line of a session.

use log::Level;

use super::Session;
use crate::os::clock::Moment;
use crate::wire::link::Wire;

impl<W: Wire> Session<W> {
    /// Logs the end of a session of this listener.
    pub fn log_end(&self, level: Level, listener: &str, now: Moment) {
        let Some(reason) = self.reason() else { return };
        let agreed = self.link.transport().agreed();
        // The answer of the kernel costs five system calls.
        let asks = log::log_enabled!(Level::Debug);
        let tcp_info = asks.then(|| self.tcp_info()).flatten();
        // In the order of the manual.
        log::log!(
            level,
            listener,
            peer:% = self.peer,
            "in" = self.received,
            out = self.sent(),
            duration:% = format_args!("{:.3}s", self.age(now).as_secs_f64()),
            unsent = (self.unsent() > 0).then(|| self.unsent()),
            tls = agreed.map(|it| it.version),
            cipher = agreed.map(|it| it.cipher_suite),
            resumed = agreed.map(|it| if it.resumed { "yes" } else { "no" }),
            rtt = tcp_info.as_ref().map(|it| format!("{:.3}ms", f64::from(it.rtt_us) / 1000.0)),
            retransmits = tcp_info.as_ref().map(|it| it.retransmits),
            reason = reason.name(),
            detail = reason.detail();
            "session"
        );
    }
}
