//! Where the value of a name begins and ends.

use super::{HIDDEN, Secret, end_of, is_of_name, is_space};

/// The value that begins here: what is in quotes or in brackets, or all up to a space, a quote, or the `&` or `;` before
/// another name.
pub(super) fn value(text: &str, begin: usize) -> Option<Secret> {
    let begin = inside(text, begin);
    let quote = end_of(text, begin, |c| c != '\\');
    if let Some(sign @ ('"' | '\'' | '`')) = text[quote..].chars().next() {
        let is_escaped = quote > begin;
        let begin = quote + 1;
        let end = closing(text, begin, sign, is_escaped);
        return Some(Secret { begin, end }).filter(|_| end > begin);
    }
    if let Some(end) = bracketed(text, begin) {
        return Some(Secret { begin, end });
    }
    let end = end_of_bare(text, begin);
    let value = text[begin..end].trim_end_matches([',', '.', ':', ')', ']', '}', '\\']);
    Some(Secret {
        begin,
        end: begin + value.len(),
    })
    .filter(|_| !value.is_empty())
}

/// Where a value ends that is in no quotes.
fn end_of_bare(text: &str, begin: usize) -> usize {
    let mut at = begin;
    loop {
        let end = end_of(text, at, |c| {
            is_space(c) || matches!(c, '"' | '\'' | '`' | '&' | ';')
        });
        let rest = &text[end..];
        if !rest.starts_with(['&', ';']) {
            return end;
        }
        // A password may have one in it. One that ends the value is followed by the next name, or by nothing.
        let next = &rest[1..];
        let name = next.bytes().take_while(|&byte| is_of_name(byte)).count();
        let ends = next.chars().next().is_none_or(is_space);
        if ends || (name > 0 && next[name..].starts_with('=')) {
            return end;
        }
        at = end + 1;
    }
}

/// Behind `Some(`, `b` and the like, if something in quotes or a list is in there.
fn inside(text: &str, begin: usize) -> usize {
    let end = end_of(text, begin, |c| {
        !c.is_alphanumeric() && !matches!(c, '_' | ':' | '(')
    });
    let (wrapper, rest) = (&text[begin..end], &text[end..]);
    let holds_value = rest.starts_with(['"', '\\', '[', '{']) || rest.starts_with(HIDDEN);
    let is_wrapper = wrapper.ends_with('(') && holds_value;
    let is_prefix = matches!(wrapper, "b" | "c" | "r" | "br" | "cr") && rest.starts_with('"');
    if is_wrapper || is_prefix { end } else { begin }
}

/// Where a list or a structure ends that begins here, e.g. `[115, 51]`, `{"a": "b"}` or `Token { value: "x" }`.
///
/// If it is not closed, that is at the end of the text.
fn bracketed(text: &str, begin: usize) -> Option<usize> {
    let name = text[begin..]
        .bytes()
        .take_while(|&byte| is_of_name(byte))
        .count();
    let rest = &text[begin + name..];
    // With a space it is a structure in Rust's debug form. Otherwise it may be prose.
    let is_type = text[begin..].starts_with(|c: char| c.is_ascii_uppercase());
    let is_structure = rest.starts_with('{') || (is_type && rest.starts_with(" {"));
    let in_list = rest.strip_prefix('[').filter(|_| name == 0);
    let is_list = in_list.is_some_and(|list| {
        list.trim_start()
            .starts_with(|c: char| c.is_ascii_digit() || matches!(c, '"' | '\'' | '\\' | '-'))
    });
    if !is_structure && !is_list {
        return None;
    }
    let (mut depth, mut quoted, mut at) = (0_usize, None, begin + name);
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        at += c.len_utf8();
        match (c, quoted) {
            ('\\', Some(_)) => at += chars.next().map_or(0, char::len_utf8),
            (c, Some(quote)) if c == quote => quoted = None,
            (_, Some(_)) => {}
            ('"' | '\'', None) => quoted = Some(c),
            ('[' | '{' | '(', None) => depth += 1,
            (']' | '}' | ')', None) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(c, ']' | '}' | ')') {
            return Some(at);
        }
    }
    Some(text.len())
}

/// Where what is in quotes ends: before the next quote that is not escaped, or at the end of the text.
fn closing(text: &str, begin: usize, sign: char, is_escaped: bool) -> usize {
    let mut at = begin;
    loop {
        let end = end_of(text, at, |c| c == sign);
        let inside = text[begin..end].trim_end_matches('\\');
        let slashes = end - begin - inside.len();
        if end == text.len() || is_escaped {
            return begin + inside.len();
        }
        if slashes.is_multiple_of(2) {
            return end;
        }
        at = end + 1;
    }
}
