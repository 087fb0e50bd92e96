//! Elements of XML: `<password>x</password>`.

use super::name::Name;
use super::reader::{Reader, Secret, is_of_name};

/// The secret of the element whose begin has this name.
pub(super) fn element(text: &Reader<'_>, name: &Name<'_>) -> Option<Secret> {
    name.kind()?;
    let before = text.part(0, name.begin);
    // With a name space it is `<a:password>`.
    let space = before.strip_suffix(':');
    let before = space.map_or(before, |space| space.trim_end_matches(is_of_name));
    if !before.ends_with('<') {
        return None;
    }
    let begin = text.behind(text.skip(name.end, |c| !matches!(c, '<' | '>')), ">")?;
    let end = text.skip(begin, |c| c != '<');
    // Otherwise this is a place for a value: `--password <password>`.
    let is_closed = text.behind_one_of(end, &["</", "<\\/"]).is_some();
    Secret::between(begin, end).filter(|_| is_closed || text.is_cut_at(end))
}

#[cfg(test)]
mod tests;
