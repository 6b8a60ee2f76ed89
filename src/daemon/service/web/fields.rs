//! The fields of a head.

use httparse::Header;

/// The values of the fields called `name`.
pub(super) fn values<'a>(
    fields: &'a [Header<'a>],
    name: &'a str,
) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|it| it.value)
}

/// Whether one of the comma-separated values of the fields called `name` is `word`.
pub(super) fn names(fields: &[Header<'_>], name: &str, word: &str) -> bool {
    let words = values(fields, name).flat_map(|value| value.split(|byte| *byte == b','));
    words.into_iter().any(|it| it.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}
