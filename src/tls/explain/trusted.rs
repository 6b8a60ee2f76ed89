//! Why a certificate is trusted, link by link: the counterpart of the sentence for one that is refused.

use rustls::pki_types::CertificateDer;

use super::path::{End, Link, Path};
use crate::tls::certificate::Certificate;
use crate::tls::certificate::escape::printable;
use crate::tls::roots::Root;

/// The links of a chain that was verified for the server called `name`: a sentence for each.
pub(crate) fn links(chain: &[CertificateDer<'_>], roots: &[Root], name: &str) -> Vec<String> {
    let chain: Vec<Link> = chain.iter().filter_map(|der| Link::parse(der)).collect();
    let Some((first, rest)) = chain.split_first() else { return Vec::new() };
    let path = Path::follow(first, rest, roots);
    let leaf = &first.certificate;
    let mut links = vec![format!(
        "{} is for {}, and valid until {}",
        leaf.subject,
        printable(name),
        leaf.last_day()
    )];
    for link in path.others() {
        links.push(signed(&link.certificate));
    }
    if let End::Root(root) = path.end()
        && let Ok(authority) = Certificate::parse(&root.certificate)
    {
        links.push(signed(&authority));
        links.push(format!("{} is in {}: you trust it", authority.subject, root.file));
    }
    links
}

fn signed(above: &Certificate) -> String {
    format!(
        "it is signed with the key of {} ({}), valid until {}",
        above.subject,
        above.key,
        above.last_day()
    )
}
