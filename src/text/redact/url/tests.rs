use super::super::tests::assert_shown;

#[test]
fn credentials_in_a_url_are_hidden() {
    assert_shown(&[
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
        // No port is as large.
        ("http://user:123456/s3cr3t@host", "http://<hidden>@host"),
        ("amqp://u:#s3cr3t@host", "amqp://<hidden>@host"),
        // A quote that something follows is a part of the password.
        (
            r#""http://u:s3"cr3t@host" b"#,
            r#""http://<hidden>@host" b"#,
        ),
        // Several places look like the begin of a URL.
        ("a://b:s3cr3t/d://e:f/g@h i@j", "a://<hidden>@h i@j"),
        ("a://b:1/d://s3cr3t@h://i", "a://b:1/d://<hidden>@h://i"),
        (
            "a://b:x/c://d:y/e f://g:s3cr3t/h@i",
            "a://b:x/c://d:y/e f://<hidden>@i",
        ),
    ]);
}

#[test]
fn a_url_may_be_escaped_or_encoded() {
    assert_shown(&[
        (
            r#"http:\/\/u:s3cr3t@host\/a"#,
            r#"http:\/\/<hidden>@host\/a"#,
        ),
        (
            r#""http:\\/\\/u:s3cr3t@host""#,
            r#""http:\\/\\/<hidden>@host""#,
        ),
        (r#"http:\/\/u:s3cr3t\/b@host"#, r#"http:\/\/<hidden>@host"#),
        (
            "?to=http%3A%2F%2Fu%3As3cr3t%40host%2Fa&b=c",
            "?to=http%3A%2F%2F<hidden>%40host%2Fa&b=c",
        ),
        (
            "?to=http%3a%2f%2fu:s3cr3t@host&b=c@d",
            "?to=http%3a%2f%2f<hidden>@host&b=c@d",
        ),
    ]);
}
