use core::fmt;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::shown::{MOST_READ, redact};
use super::super::tests::{SECRET, assert_shown};

#[test]
fn a_value_in_no_quotes_ends_where_the_next_thing_begins() {
    assert_shown(&[
        ("password=s3cr3t;s3cr3t&s3cr3t b", "password=<hidden> b"),
        ("Pwd=s3cr3t;s3cr3t;Server=a", "Pwd=<hidden>;Server=a"),
        ("?token=s3cr3t&s3cr3t&b=c", "?token=<hidden>&b=c"),
        ("Pwd=s3cr3t; Server=a", "Pwd=<hidden>; Server=a"),
        // A quote that something follows does not end it.
        (r#"password=a"s3cr3t b"#, "password=<hidden> b"),
        (r#""?token=a's3cr3t": b"#, r#""?token=<hidden>": b"#),
        (r#"password=a="s3cr3t b" c"#, "password=<hidden> c"),
        // Nor does a mark that turns the direction of writing.
        ("password=a\u{200e}s3cr3t b", "password=<hidden> b"),
    ]);
}

#[test]
fn a_value_in_quotes_ends_with_them() {
    assert_shown(&[
        (
            r#"{"password":"s3cr3t","a":1}"#,
            r#"{"password":"<hidden>","a":1}"#,
        ),
        (
            r#"{\"password\":\"s3cr3t\"}"#,
            r#"{\"password\":\"<hidden>\"}"#,
        ),
        (r#"secret: "s3\"cr3t", b"#, r#"secret: "<hidden>", b"#),
        (r#"secret: "s3cr3t\\", b"#, r#"secret: "<hidden>", b"#),
        ("password='s3cr3t and more", "password='<hidden>"),
        (r#"password="s3cr3t\"#, r#"password="<hidden>"#),
        (
            r#"{ secret: b"s3cr3t", a: 1 }"#,
            r#"{ secret: b"<hidden>", a: 1 }"#,
        ),
        ("secret: b's3cr3t', a", "secret: b'<hidden>', a"),
        (
            r##"secret: r#"a"s3cr3t"#, a"##,
            r##"secret: r#"<hidden>"#, a"##,
        ),
        (r#"secret: "a""s3cr3t", b"#, r#"secret: "<hidden>", b"#),
        (r#"password="a"s3cr3t" b"#, r#"password="<hidden>" b"#),
    ]);
}

#[test]
fn quotes_may_be_escaped_several_times() {
    assert_shown(&[
        (
            r#"\"password\":\"a\\\"s3cr3t\",\"b\":1"#,
            r#"\"password\":\"<hidden>\",\"b\":1"#,
        ),
        // The value ends with a backslash.
        (
            r#"\"password\":\"s3cr3t\\\\\",\"b\":1"#,
            r#"\"password\":\"<hidden>\",\"b\":1"#,
        ),
        (
            r#"\\\"token\\\": \\\"a\\\\\\\"s3cr3t\\\", b"#,
            r#"\\\"token\\\": \\\"<hidden>\\\", b"#,
        ),
        // What encloses it ends before it does.
        (r#""token=\"s3cr3t" b"#, r#""token=\"<hidden>" b"#),
    ]);
}

#[test]
fn what_is_in_brackets_behind_a_type_is_hidden() {
    assert_shown(&[
        (
            r#"Config { password: Some("s3cr3t"), a: 1 }"#,
            r#"Config { password: Some("<hidden>"), a: 1 }"#,
        ),
        (
            r#"Config { secret: Secret("s3cr3t") }"#,
            r#"Config { secret: Secret("<hidden>") }"#,
        ),
        (
            "password: Some(\n    \"s3cr3t\",\n), a",
            r#"password: Some(     "<hidden>", ), a"#,
        ),
        (
            r#"password: Some(\n    \"s3cr3t\",\n), a"#,
            r#"password: Some(\n    \"<hidden>\",\n), a"#,
        ),
        (
            r#"token: Some(Token { value: "s3cr3t" }), a"#,
            "token: Some(<hidden>), a",
        ),
        (
            "token: Some(\n    Token {\n        value: \"s3cr3t\",\n    },\n), a",
            "token: Some(     <hidden>, ), a",
        ),
        (
            r#"password: Some(b"s3cr3t"), a"#,
            r#"password: Some(b"<hidden>"), a"#,
        ),
        (
            "secret: Secret('s3cr3t'), a",
            "secret: Secret('<hidden>'), a",
        ),
        (
            r#"secret: Some(auth::Secret("s3cr3t")), a"#,
            r#"secret: Some(auth::Secret("<hidden>")), a"#,
        ),
        (
            r#"secret: Secret<String>("s3cr3t"), a"#,
            r#"secret: Secret<String>("<hidden>"), a"#,
        ),
        (
            r#"secret: Secret("a", "s3cr3t"), b"#,
            "secret: Secret(<hidden>), b",
        ),
        (
            "secret: Some(\n    12345,\n), a",
            "secret: Some(     <hidden>, ), a",
        ),
        ("secret: Key(115, 51), a", "secret: Key(<hidden>), a"),
        (r#"secret: Some("s3cr3t"#, r#"secret: Some("<hidden>"#),
        ("secret: Some([115, 51", "secret: Some(<hidden>"),
        ("secret: Some(s3cr3t), a", "secret: <hidden>), a"),
    ]);
}

/// What a user may print. Its fields have all that a secret may be wrapped in.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "they are printed")]
struct Config {
    password: Option<String>,
    token: Option<Wrapped>,
    secret: Pair,
    api_key: BTreeMap<String, Result<String, char>>,
    credentials: (char, Vec<String>),
    pass: Bytes,
    url: &'static str,
}

#[derive(Clone, Debug)]
#[expect(dead_code, reason = "it is printed")]
struct Wrapped {
    sign: char,
    value: String,
}

#[derive(Clone, Debug)]
#[expect(dead_code, reason = "it is printed")]
struct Pair(String, String);

#[derive(Clone)]
struct Bytes(String);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.as_bytes().escape_ascii())
    }
}

/// A secret with signs in it that mean something elsewhere.
fn odd_secret() -> impl Strategy<Value = String> {
    let odd = vec![
        "\"", "'", "\\", "`", "{", "}", "[", "]", "(", ")", ",", ";", ":", "=", "&", "/", "@", " ",
        "\n", "a", "7", "\u{e9}", "''", "\\\"",
    ];
    let odd = prop::collection::vec(prop::sample::select(odd), 0..5).prop_map(|odd| odd.concat());
    (odd.clone(), odd.clone(), odd)
        .prop_map(|(before, between, after)| format!("{before}{SECRET}{between}{SECRET}{after}"))
}

fn any_config() -> impl Strategy<Value = Config> {
    let signs = prop::sample::select(vec!['"', '\'', '\\', '{', ')', 'a']);
    (prop::collection::vec(odd_secret(), 6), signs).prop_map(|(secrets, sign)| {
        let [one, two, three, four, five, six] = secrets.try_into().unwrap();
        Config {
            password: Some(one.clone()),
            token: Some(Wrapped { sign, value: two }),
            secret: Pair(three, one),
            api_key: BTreeMap::from([(four.clone(), Err(sign)), (five.clone(), Ok(four))]),
            credentials: (sign, vec![five]),
            pass: Bytes(six),
            url: "quota",
        }
    })
}

proptest! {
    /// Whatever is in them, and however often the text was quoted on its way.
    #[test]
    fn no_secret_survives_in_the_debug_form(config in any_config(), is_pretty: bool, times in 0_usize..4) {
        let mut text = match is_pretty {
            true => format!("{config:#?}"),
            false => format!("{config:?}"),
        };
        for _ in 0..times {
            text = format!("{text:?}");
        }
        prop_assume!(text.len() < MOST_READ);
        let shown = redact(&text);
        prop_assert!(!shown.contains(SECRET), "{}: {}", text, shown);
        prop_assert!(shown.contains("quota"), "{}: {}", text, shown);
    }
}
