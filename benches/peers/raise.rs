use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many descriptors as may be: 10,000 sessions are not served with the usual 1024.
pub(crate) fn descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
