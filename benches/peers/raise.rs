use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit on descriptors, which is usually 1024, for 10,000 sessions.
pub(crate) fn descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
