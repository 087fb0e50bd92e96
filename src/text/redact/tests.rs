use proptest::prelude::*;

use super::*;

/// No word of a language, and in no text but where it is hidden.
const SECRET: &str = "s3cr3t";

#[test]
fn what_is_secret_is_hidden_and_the_rest_is_shown() {
    for (text, shown) in [
        // Credentials in URLs.
        ("http://user:s3cr3t@host:80/a", "http://<hidden>@host:80/a"),
        ("http://s3cr3t@host", "http://<hidden>@host"),
        (
            "postgres://u:s3cr3t@a,b:1/c: refused",
            "postgres://<hidden>@a,b:1/c: refused",
        ),
        ("(http://u:s3cr3t@a)", "(http://<hidden>@a)"),
        ("http://u:a@s3cr3t@host", "http://<hidden>@host"),
        ("http://u:s3cr3t/b@host/c", "http://<hidden>@host/c"),
        (
            "http://a:s3cr3t@b http://c:s3cr3t@d",
            "http://<hidden>@b http://<hidden>@d",
        ),
        // Bearer tokens and headers.
        ("Bearer s3cr3t", "Bearer <hidden>"),
        ("bearer xyz, then more", "bearer <hidden>, then more"),
        (
            "Authorization: Bearer s3cr3t\nhost: a",
            "Authorization: Bearer <hidden> host: a",
        ),
        (
            "authorization: Basic czNjcjN0OmE= x",
            "authorization: Basic <hidden> x",
        ),
        (
            "\"authorization\": \"Basic s3cr3t\"",
            "\"authorization\": \"<hidden>\"",
        ),
        ("sent Basic czNjcjN0OmE=", "sent Basic <hidden>"),
        // Base64 may consist of letters only.
        ("sent Basic YWJjOmRlZg", "sent Basic <hidden>"),
        // No port is as large.
        ("http://user:123456/s3cr3t@host", "http://<hidden>@host"),
        // Values with a name.
        ("password=s3cr3t", "password=<hidden>"),
        (
            "host=a PASSWORD=s3cr3t user=b",
            "host=a PASSWORD=<hidden> user=b",
        ),
        ("db.user-password = s3cr3t", "db.user-password = <hidden>"),
        ("Pwd=s3cr3t;Server=a", "Pwd=<hidden>;Server=a"),
        ("/a?access_token=s3cr3t&b=c", "/a?access_token=<hidden>&b=c"),
        ("(api-key=s3cr3t)", "(api-key=<hidden>)"),
        ("password=plain, user=a", "password=<hidden>, user=a"),
        ("password:plain", "password:<hidden>"),
        (
            "{\"password\":\"s3cr3t\",\"a\":1}",
            "{\"password\":\"<hidden>\",\"a\":1}",
        ),
        (
            "{\\\"password\\\":\\\"s3cr3t\\\"}",
            "{\\\"password\\\":\\\"<hidden>\\\"}",
        ),
        ("secret: \"s3\\\"cr3t\", b", "secret: \"<hidden>\", b"),
        ("password='s3cr3t and more", "password='<hidden>"),
        (
            "Config { password: Some(\"s3cr3t\"), a: 1 }",
            "Config { password: Some(\"<hidden>\"), a: 1 }",
        ),
        (
            "Config { secret: Secret(\"s3cr3t\") }",
            "Config { secret: Secret(\"<hidden>\") }",
        ),
        ("{ password => s3cr3t }", "{ password => <hidden> }"),
        ("password := s3cr3t", "password := <hidden>"),
        ("x --password s3cr3t --all", "x --password <hidden> --all"),
        ("password: hunter\nhost: a", "password: <hidden> host: a"),
        ("password: hunter", "password: <hidden>"),
        (
            "password: s3cr3t is refused",
            "password: <hidden> is refused",
        ),
        ("pass=s3cr3t sig=s3cr3t", "pass=<hidden> sig=<hidden>"),
        ("password=\u{e9}\u{e8}\u{1f512} b", "password=<hidden> b"),
        // A value may contain what also stands between values.
        ("password=s3cr3t;s3cr3t&s3cr3t b", "password=<hidden> b"),
        ("Pwd=s3cr3t;s3cr3t;Server=a", "Pwd=<hidden>;Server=a"),
        ("?token=s3cr3t&s3cr3t&b=c", "?token=<hidden>&b=c"),
        ("Pwd=s3cr3t; Server=a", "Pwd=<hidden>; Server=a"),
        // Names with brackets, and what is encoded in a URL.
        ("user[password]=s3cr3t&a=b", "user[password]=<hidden>&a=b"),
        (
            "passwords[0]=a password[1]=s3cr3t",
            "passwords[0]=a password[1]=<hidden>",
        ),
        ("?q=password%3Ds3cr3t", "?q=password%3D<hidden>"),
        ("user%5Bpassword%5D=s3cr3t", "user%5Bpassword%5D=<hidden>"),
        ("%22token%22%3A%22s3cr3t%22", "%22token%22%3A<hidden>"),
        // Lists and structures.
        ("password: [115, 51, 99], a: 1", "password: <hidden>, a: 1"),
        (
            "{ secret: b\"s3cr3t\", a: 1 }",
            "{ secret: b\"<hidden>\", a: 1 }",
        ),
        (
            "Secret([1, 2]) token: Some([1, 2]) b",
            "Secret([1, 2]) token: Some(<hidden>) b",
        ),
        (
            "A { token: Token { value: \"s3}r3t\", of: [1] }, b: 2 }",
            "A { token: <hidden>, b: 2 }",
        ),
        (
            "{\"credentials\": {\"user\": \"a\", \"key\": \"s3cr3t\"}, \"b\": 1}",
            "{\"credentials\": <hidden>, \"b\": 1}",
        ),
        ("secret: {\"a\": \"s3cr3t\"", "secret: <hidden>"),
        // One line.
        (
            "a\r\nb\tc\u{7f}d\u{1b}[31me\u{2028}f\u{202e}g",
            "a  b c d [31me f g",
        ),
    ] {
        assert_eq!(redact(text), shown, "{text:?}");
    }
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
        for secret in [
            "http://user:s3cr3t@host",
            "Bearer s3cr3t",
            "password: s3cr3t",
            "\"secret\": \"s3cr3t\"",
            "the token: No such file",
        ] {
            let text = format!("{} {secret} more", "x".repeat(MOST - at));
            let shown = redact(&text);
            assert!(shown.len() <= MOST);
            assert!(!shown.contains(SECRET), "{at}: {shown}");
            assert_eq!(redact(&shown), shown, "{at}: {secret}");
        }
    }
}

/// Pieces of which texts with and without secrets are made.
const PIECES: &[&str] = &[
    "password",
    "token",
    "Bearer",
    "bearer",
    "authorization",
    "basic",
    "=",
    ":",
    ": ",
    " ",
    "\n",
    "\"",
    "\\\"",
    "\\",
    "'",
    "`",
    "://",
    "http",
    "@",
    "/",
    "?",
    "&",
    ";",
    ",",
    ")",
    "]",
    "}",
    "(",
    "Some(",
    "<hidden>",
    "<hidden",
    ">",
    "s3cr3t",
    "word",
    "word two",
    "17",
    "--",
    "-",
    "[",
    "--password",
    "\u{e9}",
    "\u{202e}",
    "expired",
    ">",
    ":=",
    "=>",
    "{",
    " {",
    "Token",
    "[1",
    "b\"",
    "%3D",
    "%22",
];

fn any_text() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(prop::sample::select(PIECES), 0..24)
        .prop_map(|pieces| pieces.concat());
    prop_oneof![4 => pieces, 1 => any::<String>()]
}

/// A text that is as long as is shown, or somewhat longer.
fn long_text() -> impl Strategy<Value = String> {
    (any_text(), any_text(), 0_usize..40).prop_map(|(before, after, room)| {
        let filler = "x".repeat((MOST - room).saturating_sub(before.len()));
        format!("{before}{filler}{after}")
    })
}

fn with_a_secret() -> impl Strategy<Value = String> {
    let with = prop::sample::select(vec![
        "http://user:SECRET@host/path",
        "amqp://SECRET@host",
        "Bearer SECRET",
        "Authorization: Bearer SECRET",
        "password=SECRET",
        "my_secret = SECRET",
        "api_key: SECRET",
        "\"password\": \"SECRET\"",
        "\\\"token\\\":\\\"SECRET\\\"",
        "password: Some(\"SECRET\")",
        "--password SECRET",
        "?access_token=SECRET&a=b",
        "?access_token=a&SECRET&a=b",
        "user[password]=SECRET",
        "password%3DSECRET",
        "secret: Secret { value: \"SECRET\" }",
        "{\"credentials\":{\"a\":\"SECRET\"}}",
        "password: b\"SECRET\"",
    ]);
    let secret = "[a-z0-9+_~]{3,12}[0-9][A-Za-z]{3,6}";
    ("[a-z ]{0,20}", with, secret, "[a-z ]{0,20}").prop_map(|(before, with, secret, after)| {
        format!(
            "{before} {} {after}",
            with.replace("SECRET", &format!("{SECRET}{secret}"))
        )
    })
}

proptest! {
    #[test]
    fn it_is_one_line_of_limited_length_and_a_second_time_nothing_changes(text in prop_oneof![9 => any_text(), 1 => long_text()]) {
        let shown = redact(&text);
        prop_assert!(shown.len() <= MOST);
        prop_assert!(!shown.chars().any(breaks_line));
        prop_assert_eq!(&redact(&shown), &shown, "{:?}", text);
    }

    #[test]
    fn no_secret_survives(text in with_a_secret()) {
        let shown = redact(&text);
        prop_assert!(!shown.contains(SECRET), "{}: {}", text, shown);
        prop_assert!(shown.contains(HIDDEN));
    }

    /// Nothing but the secret is lost.
    #[test]
    fn what_is_around_a_secret_stays(before in "[a-z ,]{0,30}", after in "( [a-z ,]{0,30})?") {
        let text = format!("{before} password=x17{after}");
        prop_assert_eq!(redact(&text), format!("{before} password=<hidden>{after}"));
    }

    #[test]
    fn a_text_without_secrets_stays_as_it_is(text in "[a-zA-Z0-9 .,()/_-]{0,200}") {
        prop_assume!(!text.to_lowercase().contains("bearer") && !text.to_lowercase().contains("basic"));
        prop_assume!(!text.contains("--"));
        prop_assert_eq!(&*redact(&text), &*text);
    }
}
