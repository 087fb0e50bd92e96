//! Hides secrets in a text, and makes it one line of limited length.
//!
//! | in the text | is shown | file |
//! | --- | --- | --- |
//! | credentials in a URL: `scheme://user:password@host`, also escaped (`:\/\/`) or encoded (`%3A%2F%2F`) | `scheme://<hidden>@host` | `url.rs` |
//! | what follows `Bearer` or `Basic` | `Bearer <hidden>` | `authorization.rs` |
//! | an `Authorization` header | `Authorization: Digest <hidden>`; with a scheme that is not known, `Authorization: <hidden>` | `authorization.rs` |
//! | cookies: `Cookie: a=x; b=y`, `Set-Cookie: a=x; Path=/` | `Cookie: <hidden>` | `pairs.rs` |
//! | a value whose name ends with e.g. `password`, `secret`, `token` or `api_key`: `password=x`, `"password": "x"`, `--password x`, `user[password]=x`, `("password", "x")` | the same with the value `<hidden>` | `name.rs`, `assignment.rs` |
//! | such a value in a type, e.g. `Some("x")` | `Some("<hidden>")` | `value.rs` |
//! | such a value that is a list or a structure, e.g. `[115, 51]` or `Token { value: "x" }` | `<hidden>` | `bracket.rs` |
//! | a value in quotes right behind its name: `PASSWORD 'x'`, `the password is "x"`, `set_password("x")`, `Secret("x")` | the same with the value `<hidden>` | `assignment.rs`, `named.rs` |
//! | `IDENTIFIED BY 'x'` and `PASSWORD FOR a = 'x'` in capitals | `IDENTIFIED BY '<hidden>'` | `statement.rs` |
//! | an element of XML: `<password>x</password>` | `<password><hidden></password>` | `element.rs` |
//! | a JSON Web Token: `eyJ...` with two dots | `<hidden>` | `web_token.rs` |
//! | a private key behind `-----BEGIN PRIVATE KEY-----` | `-----BEGIN PRIVATE KEY-----<hidden>` | `key_block.rs` |
//! | control characters, line ends and marks that turn the direction of writing | spaces | `reader.rs` |
//! | what is longer than 4,096 bytes | its beginning | `shown.rs` |
//!
//! Names and quotes may be escaped, as in `\"password\":\"x\"`, however often.
//!
//! # In doubt
//!
//! What may be a secret is hidden. What reads like prose is shown:
//!
//! - Behind `password=`, `password:` without a space, and in quotes or brackets, everything is hidden. Shown are a few
//!   words that are no secret, e.g. `null` or `required`, and signs like `***`.
//! - `password: x` may also be prose, as in `no password: permission denied`. A value is hidden if it is alone, or does
//!   not look like a word: `password: hunter` is hidden, and `password: hunter is wrong` is shown.
//! - `--password x` is hidden, but not words like `to` in `use --password to ...`.
//! - `pass`, `pw`, `sig`, `signature`, `jwt` and `cookie` are common in prose. With a colon, the name or the value must
//!   be in quotes or in brackets. For `pass` and `pw` it is enough that the value has letters and digits, and for `cookie`
//!   that it is a pair: `Cookie: a=x`.
//! - `token "x"` is shown, because it is mostly about a grammar, and so is `secret "x" not found`, where `x` is a name.
//! - `Secret("x")` is hidden. If there are several words in the quotes, it is taken for an error.
//! - Quotes and brackets that do not close hide the rest of the text.
//!
//! # What is shown although it may be a secret
//!
//! - What has no name that says it: `user:x@host` without `://`, `-u user:x`, `key=x`.
//! - What a sentence says without quotes: `the password is x`, `token x is wrong`.
//! - All but the first word of a value that has spaces and is in no quotes.
//! - The fields of a type whose name alone says it: `Password { value: "x" }`, `Token("x")`.
//! - A number behind a colon in a URL, with a `/` behind it: `http://a:80/b@c` is taken for a host, a port and a path. In a
//!   password a `/` must be written as `%2F`
//!   ([RFC 3986, section 3.2.1](https://www.rfc-editor.org/rfc/rfc3986#section-3.2.1)), and a space as `%20`.

mod assignment;
mod authorization;
mod bracket;
mod element;
mod key_block;
mod name;
mod named;
mod pairs;
mod quote;
mod reader;
mod shown;
mod statement;
mod types;
mod url;
mod value;
mod web_token;
mod word;

pub(crate) use shown::{MOST_READ, redact};

#[cfg(test)]
mod tests;
