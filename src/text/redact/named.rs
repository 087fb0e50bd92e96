//! Which value with a name is a secret.

use super::assignment::{Assignment, How, assignment};
use super::authorization::authorization;
use super::name::{Kind, Name};
use super::pairs::cookies;
use super::quote::quote_at;
use super::reader::{Reader, Secret, is_space};
use super::value::{Form, in_parentheses};
use super::word::{is_alone, is_link, is_plain, is_random, is_word};

/// The secret that this is the name of.
pub(super) fn named(text: &Reader<'_>, name: &Name<'_>) -> Option<Secret> {
    let kind = name.kind()?;
    if let Some(secret) = in_call(text, name) {
        return Some(secret);
    }
    let assignment = assignment(text, name)?;
    let of_header = match kind {
        Kind::Authorization => authorization(text, assignment.begin),
        Kind::Cookie => cookies(text, assignment.begin),
        Kind::Certain | Kind::Common => None,
    };
    of_header.or_else(|| secret(text, name, kind, assignment))
}

/// The value of a name, if it is a secret and no prose.
fn secret(
    text: &Reader<'_>,
    name: &Name<'_>,
    kind: Kind,
    assignment: Assignment,
) -> Option<Secret> {
    let form = Form::at(text, assignment.begin);
    let is_enclosed = !matches!(form, Form::Bare(_));
    let is_colon = matches!(assignment.how, How::Colon | How::ColonAndSpace);
    let is_common = is_colon && matches!(kind, Kind::Common | Kind::Cookie);
    if is_common && !is_enclosed && !assignment.is_quoted && !name.is_short() {
        // It is shown, however long it is. So its end does not matter.
        return None;
    }
    let secret = form.value(text)?;
    let is_data = is_alone(text, secret) || !is_word(text, secret);
    let is_secret = is_enclosed
        || match assignment.how {
            How::Surely => true,
            How::Argument => !is_link(text, secret),
            _ if is_common && assignment.is_quoted => is_data,
            _ if is_common => is_random(text, secret),
            How::Colon => true,
            How::ColonAndSpace => is_data,
        };
    (is_secret && !is_plain(text, secret)).then_some(secret)
}

/// The secret of `PASSWORD('x')` or `Secret("x")`.
fn in_call(text: &Reader<'_>, name: &Name<'_>) -> Option<Secret> {
    let inside = text.behind(name.end, "(").filter(|_| name.is_called())?;
    let inside = text.skip_escaped_spaces(inside);
    if let Some(quote) = quote_at(text, inside) {
        // An error may be of such a type as well. Then this is a message of several words.
        let word = text.skip(quote.inside, |c| !is_space(c) && c != quote.sign);
        if name.is_type() && text.is_at(word, is_space) {
            return None;
        }
    } else if !text.is_at(inside, |c| c == '[') {
        return None;
    }
    in_parentheses(text, inside).filter(|secret| !is_plain(text, *secret))
}
