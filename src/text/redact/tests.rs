use std::borrow::Cow;

use super::shown::{MOST, MOST_READ, redact};

/// No word of a language, and in no text but where it is hidden.
pub(super) const SECRET: &str = "s3cr3t";

/// Asserts that of each text this is shown, and that a second time nothing changes.
pub(super) fn assert_shown(cases: &[(&str, &str)]) {
    for (text, shown) in cases {
        assert_eq!(redact(text), *shown, "{text:?}");
        assert_eq!(redact(shown), *shown, "{text:?} a second time");
    }
}

#[test]
fn a_text_becomes_one_line() {
    assert_shown(&[
        (
            "a\r\nb\tc\u{7f}d\u{1b}[31me\u{2028}f\u{202e}g",
            "a  b c d [31me f g",
        ),
        // All marks that turn the direction of writing.
        (
            "\u{61c}a\u{200e}b\u{200f}c\u{202a}d\u{202b}e\u{202c}f\u{202d}g\u{202e}h\u{2066}i\u{2067}j\u{2068}k\u{2069}",
            " a b c d e f g h i j k ",
        ),
    ]);
}

#[test]
fn what_is_no_secret_is_shown_as_it_is() {
    for text in [
        "",
        "connection refused (os error 111)",
        "http://10.0.0.1:2379 is unreachable",
        "https://host:8443/a/@b?mail=a@b.c#d",
        "http://[::1]:2379/a@b and http://[::1]",
        "postgres://a:1,b:2/c?user=a@b",
        "a@b.c: no such user",
        "invalid user ID or password",
        "no password: permission denied",
        "the token: No such file or directory",
        "cannot read the token: expired",
        "invalid bearer token",
        "Bearer realm=\"a\"",
        "Basic checks failed",
        "password [optional]",
        "the token: expired {at: 3}",
        "the bearer of bad news",
        "password is required",
        "use_password=true token=null",
        "fencing token 17 is older than 18",
        "secret::Manager is gone",
        "password",
        "password=",
        "password: ",
        "password=\"\"",
        "--password --user a",
        "pass: 3, fail: 1",
        "no_password_file: 1",
        "access_key_id=4711",
        "://",
        "a \u{e9}\u{1f512}\u{4e2d}",
        // A URL that is escaped or encoded, but has no credentials.
        r"http:\/\/host:80\/a@b",
        "?to=http%3A%2F%2Fhost%3A80%2Fa%40b",
        "http%3A%2F%2F",
        "vault-secret://host/a",
        // A type that is no value.
        "the token: Error (see the log)",
        "credentials: [], token: {}, secret: ()",
        // Names that are common in prose.
        "first pass: two errors",
        "signature: wrong length",
        "pass: ok, sig: none",
        "\"pass\": null",
        "{\"token\":null,\"user\":\"a\"}",
        r#"{\"token\":null,\"user\":\"a\"}"#,
        // No scheme of a header.
        "authorization: denied for user17",
        "authorization: the role has no right to read",
        "authorization: server returned 403",
        "authorization: policy \"a1\" is missing",
        "authorization: forbidden user=bob",
        "authorization: key rotation failed",
        "authorization: token has expired",
        "authorization: Basic realm required",
        "WWW-Authenticate: Basic realm=\"a\", charset=\"b\"",
        "Bearer error=\"invalid_token\", scope=\"a b\"",
        r#"Bearer scope=\"a b\""#,
        "a bearer must be given",
        "bearer: not found",
        "Bearer",
        "Basic: none",
        // Quotes behind a name that are about something else.
        "secret \"db-creds\" not found",
        "the secret 'a/b.c' does not exist",
        "unexpected token 'x'",
        "Token(\"ident\")",
        "InvalidPassword(\"short\")",
        "Password(\"is too short\")",
        "Secret(NotFound(\"a\"))",
        "no password for 'bob'",
        "missing field \"password\"",
        "column 'password' is too long",
        "unknown field \"secret\", expected \"key\"",
        "expected one of \"--password\", \"--token\"",
        "expected one of `password`, `user`",
        "unexpected argument '--token' found",
        "the argument '--token' cannot be used with '--password'",
        "use --token to authenticate",
        "--password, --user",
        "the node identified by 'n1' is gone",
        "IDENTIFIED BY nobody",
        "password is \"required\"",
        "password(s) are missing",
        "access denied (using password: YES)",
        "found token: `}`",
        "unexpected token: \"->\"",
        "password: ***",
        "the element <password> is missing",
        "<password></password>",
        // Empty values.
        "host=db password= user=app",
        "--password= --user=app",
        "password=,user=app",
        "password:, user: app",
        "password=;user=app",
        // Words that are parts of further names.
        "AccountKey is missing",
        "the account key: not found",
        "password hash: wrong length",
        "the cookie: expired",
        "no cookie: request refused",
        "Cookie: header missing",
        "cookie: 17 bytes are too many",
        "invalid session cookie",
        "cookie_name=sid",
        // No private keys, and no tokens.
        "-----BEGIN CERTIFICATE-----\u{20}MIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYD",
        "no -----BEGIN PRIVATE KEY----- found in key.pem",
        "-----BEGIN PRIVATE KEY----- and -----END PRIVATE KEY-----",
        "BEGIN PRIVATE KEY",
        "-----BEGIN PRIVATE KEY-----",
        "eyJ is how it begins",
        "eyJ.tar.gz",
        "eyJhbGciOiJIUzI1NiJ9.json",
        "a.b.c",
    ] {
        assert_eq!(redact(text), text);
        assert!(matches!(redact(text), Cow::Borrowed(_)), "{text}");
    }
}

#[test]
fn it_is_bounded_and_what_is_cut_off_shows_nothing() {
    assert_eq!(redact(&"x".repeat(MOST)), "x".repeat(MOST));
    assert_eq!(redact(&"x".repeat(5 * MOST)), "x".repeat(MOST));
    // A character is not cut in two.
    let wide = "\u{1f512}".repeat(MOST);
    assert_eq!(redact(&format!("x{wide}")).len(), MOST - 3);
    // The end of the credentials is not read, and without what is hidden it is in sight.
    let long = format!("password={} http://user:s3cr3t", "y".repeat(MOST_READ - 30));
    let text = format!("{long}{}@host", "z".repeat(100));
    assert!(redact(&text).contains("http://"), "{}", redact(&text));
    assert!(!redact(&text).contains(SECRET), "{}", redact(&text));
    // Whatever is at the place where it is cut.
    for at in 0..60 {
        for secret in FORMS {
            let secret = secret.replace("SECRET", SECRET);
            let text = format!("{} {secret} more", "x".repeat(MOST - at));
            let shown = redact(&text);
            assert!(shown.len() <= MOST);
            assert!(!shown.contains(SECRET), "{at}: {shown}");
            assert_eq!(redact(&shown), shown, "{at}: {secret}");
        }
    }
}

/// How a secret may be said, with `SECRET` where it is.
pub(super) const FORMS: &[&str] = &[
    "http://user:SECRET@host/path",
    "amqp://SECRET@host",
    "a://b:SECRET/c@host",
    r"http:\/\/user:SECRET@host",
    "?to=http%3A%2F%2Fuser%3ASECRET%40host",
    "Bearer SECRET",
    "Basic SECRET",
    "Authorization: Bearer SECRET",
    "Authorization: OAuth SECRET",
    "authorization=Key SECRET",
    "Authorization: Digest username=\"a\", response=\"SECRET\"",
    "Cookie: a=b; c=SECRET",
    "Set-Cookie: a=SECRET; Path=/",
    "password=SECRET",
    "my_secret = SECRET",
    "api_key: SECRET",
    "AccountName=a;AccountKey=SECRET;b=c",
    "password_hash=SECRET",
    "\"password\": \"SECRET\"",
    "\"pass\":\"SECRET\"",
    "pw: 'SECRET'",
    r#"\"token\":\"SECRET\""#,
    r#"\\\"token\\\":\\\"SECRET\\\""#,
    "password: Some(\"SECRET\")",
    "password: Some(\n    \"SECRET\",\n)",
    "token: Some(Token { value: \"SECRET\" })",
    "secret: Secret('SECRET')",
    "secret: Secret(\"a\", \"SECRET\")",
    "Password(\"SECRET\")",
    "--password SECRET",
    "\"--password\", \"SECRET\"",
    "(\"password\", \"SECRET\")",
    "?access_token=SECRET&a=b",
    "?access_token=a&SECRET&a=b",
    "user[password]=SECRET",
    "password%3DSECRET",
    "secret: Secret { value: \"SECRET\" }",
    "credentials: (\"a\", \"SECRET\")",
    "<password>SECRET</password>",
    "{\"credentials\":{\"a\":\"SECRET\"}}",
    "password: b\"SECRET\"",
    "ALTER ROLE a PASSWORD 'SECRET'",
    "IDENTIFIED BY 'SECRET'",
    "SET PASSWORD = PASSWORD('SECRET')",
];

/// The text is cut at each place of each secret, and what is left of the secret is hidden as a whole.
#[test]
fn no_part_of_a_secret_is_shown_where_the_text_is_cut() {
    // Some begin like a word that is no secret, and some have signs that mostly end a value.
    for secret in [
        "Qx7", "hunter7", "none7", "is-7", "the7", "123Q", "a.,7", "a&;:7", "a])}7",
    ] {
        for form in FORMS {
            let (before, after) = form.split_once("SECRET").unwrap();
            if secret.contains('&') && before.contains("%2F%2F") {
                // There it would be encoded.
                continue;
            }
            for length in 1..=secret.len() {
                let filler = "x".repeat(MOST_READ - "password= ".len() - before.len() - length);
                let text = format!("password={filler} {before}{secret}{after}, more");
                let shown = redact(&text);
                assert!(
                    shown.ends_with("<hidden>"),
                    "{form}, {}: {shown}",
                    &secret[..length]
                );
            }
        }
    }
}
