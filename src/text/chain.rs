//! The texts of an error and of its sources, as one text.

/// What stands between the text of an error and that of its source.
const BETWEEN: &str = ": ";

/// Adds the text of a source to the text of an error, unless that contains it already.
///
/// Many errors show their source as well as return it. Then `connect: refused` has the source `refused`, or
/// `connect` has the source `connect: refused`. Both become `connect: refused`.
pub(crate) fn add_source(text: &mut String, source: &str) {
    if source.is_empty() || ends_with_all(text, source) {
        return;
    }
    // The longest end of the text that the source begins with, if there is one.
    let begins = core::iter::once(0).chain(
        text.match_indices(BETWEEN)
            .map(|(at, _)| at + BETWEEN.len()),
    );
    let mut ends = begins.map(|begin| &text[begin..]);
    let more = match ends.find_map(|end| rest_after(source, end)) {
        Some(more) => more.to_owned(),
        None if text.is_empty() => source.to_owned(),
        None => format!("{BETWEEN}{source}"),
    };
    text.push_str(&more);
}

/// Leaves out each part of a text that repeats the part before it: several errors of one type may show their sources.
pub(crate) fn say_once(text: &mut String) {
    let mut parts: Vec<&str> = text.split(BETWEEN).collect();
    let all = parts.len();
    parts.dedup();
    if parts.len() < all {
        *text = parts.join(BETWEEN);
    }
}

/// Whether the text is the source, or ends with it as a part of its own, e.g. after a colon or in brackets.
fn ends_with_all(text: &str, source: &str) -> bool {
    let end = text.trim_end_matches([')', ']', '.', '"', '\'']);
    let source = source.trim_end_matches([')', ']', '.', '"', '\'']);
    let before = end.strip_suffix(source);
    before.is_some_and(|before| !before.ends_with(char::is_alphanumeric))
}

/// What follows in the source after this end of the text, if it begins with that.
fn rest_after<'a>(source: &'a str, end: &str) -> Option<&'a str> {
    let rest = source.strip_prefix(end).filter(|_| !end.is_empty())?;
    rest.starts_with(BETWEEN).then_some(rest)
}

#[cfg(test)]
mod tests;
