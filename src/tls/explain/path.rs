//! Follows a chain from a certificate to the CA that it ends at, or to the certificate where it breaks
//! off: webpki verifies a chain and does not report which of its certificates failed.

use crate::tls::certificate::Certificate;
use crate::tls::provider::{has_aes, provider};
use crate::tls::roots::Root;

/// The most CAs of a chain that are followed: more than webpki follows, and few enough that a
/// hostile chain costs little time.
const CAS_MAX: usize = 8;

/// A certificate of a chain.
pub(super) struct Link<'a> {
    der: &'a [u8],
    pub(super) certificate: Certificate,
}

impl<'a> Link<'a> {
    /// `None` if it cannot be parsed.
    pub(super) fn parse(der: &'a [u8]) -> Option<Self> {
        Some(Self { der, certificate: Certificate::parse(der).ok()? })
    }

    /// Whether the key in the certificate `der` signed it.
    fn is_signed_with(&self, der: &[u8]) -> bool {
        has_signed(der, self.der).unwrap_or(false)
    }
}

/// Where a path ends.
pub(super) enum End<'a> {
    /// At this CA, which signed the last certificate of the path.
    Root(&'a Root),
    /// The CA in this file that the last certificate names as its issuer has another key.
    OtherKeyInFile(&'a str),
    /// The certificate in the chain that the last one names as its issuer has another key.
    OtherKeyInChain,
    /// No certificate has the name of its issuer.
    UnknownIssuer,
}

/// The certificates from a chain's first on, each signed by the next.
pub(super) struct Path<'a> {
    first: &'a Link<'a>,
    others: Vec<&'a Link<'a>>,
    end: End<'a>,
}

impl<'a> Path<'a> {
    /// From `first` through `rest`, in whatever order they are, to one of `roots`.
    pub(super) fn follow(first: &'a Link<'a>, rest: &'a [Link<'a>], roots: &'a [Root]) -> Self {
        let mut others: Vec<&Link> = Vec::new();
        loop {
            let last = others.last().copied().unwrap_or(first);
            let of_this_name = || {
                let named = |root: &&Root| root.has_name(&last.certificate.issuer_der);
                roots.iter().filter(named)
            };
            if let Some(root) = of_this_name().find(|it| last.is_signed_with(&it.certificate)) {
                return Self { first, others, end: End::Root(root) };
            }
            // A self-signed certificate has no other issuer.
            let mut named = rest.iter().filter(|link| {
                link.certificate.subject_der == last.certificate.issuer_der
                    && !link.certificate.is_self_signed()
            });
            let is_new = |link: &&Link| {
                !std::ptr::eq(*link, last) && !others.iter().any(|it| std::ptr::eq(*it, *link))
            };
            let next = named.clone().find(|link| is_new(link) && last.is_signed_with(link.der));
            if let Some(next) = next.filter(|_| others.len() < CAS_MAX) {
                others.push(next);
                continue;
            }
            let end = if let Some(root) = of_this_name().next() {
                End::OtherKeyInFile(&root.file)
            } else if named.next().is_some() {
                End::OtherKeyInChain
            } else {
                End::UnknownIssuer
            };
            return Self { first, others, end };
        }
    }

    pub(super) fn end(&self) -> &End<'a> {
        &self.end
    }

    /// Those behind the first.
    pub(super) fn others(&self) -> impl Iterator<Item = &'a Link<'a>> {
        self.others.iter().copied()
    }

    /// The last one; it may be the first.
    pub(super) fn last(&self) -> &'a Link<'a> {
        self.others.last().copied().unwrap_or(self.first)
    }

    /// The first CA of the path with name constraints, and these in words.
    pub(super) fn limits(&self) -> Option<(String, String)> {
        let root = match &self.end {
            End::Root(root) => Certificate::parse(&root.certificate).ok(),
            _ => None,
        };
        let in_chain = self.others.iter().map(|link| &link.certificate);
        let limited = in_chain.chain(&root).find(|ca| ca.limits.is_some())?;
        Some((limited.subject.clone(), limited.limits.clone()?))
    }
}

/// Whether the key in the certificate `signer` signed the certificate `der`.
fn has_signed(signer: &[u8], der: &[u8]) -> Option<bool> {
    let (_, signer) = x509_parser::parse_x509_certificate(signer).ok()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let key = &signer.public_key().subject_public_key.data;
    let message = certificate.tbs_certificate.as_ref();
    let signature = &certificate.signature_value.data;
    // An algorithm for another kind of key fails, so all can be tried.
    let algorithms = provider(has_aes()).signature_verification_algorithms.all;
    Some(algorithms.iter().any(|it| it.verify_signature(key, message, signature).is_ok()))
}
