//! What happens when the header of the PROXY protocol has named the peer of a session.

use log::debug;

use super::Sessions;
use crate::daemon::listeners::Listeners;
use crate::os::clock::Moment;
use crate::wire::buffers::Buffers;

impl Sessions {
    /// Lets a session go on if the limits by address allow its peer, and ends it if not. The limits on all sessions
    /// have counted it since it was accepted.
    #[cold]
    pub(super) fn admit(
        &mut self,
        key: usize,
        now: Moment,
        listeners: &mut Listeners,
        buffers: &mut Buffers,
    ) {
        let slot = &mut self.slots[key];
        let listener = listeners.get_mut(slot.listener);
        let (peer, proxy) = (slot.session.peer(), slot.session.proxy());
        let allowed = self.admission.check_address(peer.ip());
        let allowed = allowed.and_then(|()| listener.admission.check_address(peer.ip()));
        if let Err(refusal) = allowed {
            listener.refuse(refusal, peer, proxy, now);
            slot.session.refuse();
            return self.ended.push(key);
        }
        self.admission.identify(peer.ip());
        listener.admission.identify(peer.ip());
        listener.counters.accepted += 1;
        listener.counters.health_checks += u64::from(slot.session.is_health_check());
        debug!(listener = listener.name, peer:%, proxy = proxy.map(|it| it.to_string()); "accepted");
        let turn = slot.session.admit(now, buffers);
        self.follow_up(key, turn, now, listeners, buffers);
    }
}
