use super::super::tests::assert_shown;

#[test]
fn cookies_are_hidden() {
    assert_shown(&[
        ("Cookie: a=s3cr3t", "Cookie: <hidden>"),
        (
            "Cookie: a=s3cr3t; b=s3cr3t;c=s3cr3t\nhost: d",
            "Cookie: <hidden> host: d",
        ),
        (
            r#"Cookie: a=; b="s3 cr3t"; c=s3cr3t; is refused"#,
            "Cookie: <hidden>; is refused",
        ),
        (
            "set-cookie: a=s3cr3t; Path=/; HttpOnly, b=s3cr3t; Secure c",
            "set-cookie: <hidden> c",
        ),
        (
            r#""cookie": "a=s3cr3t; b=c", d"#,
            r#""cookie": "<hidden>", d"#,
        ),
        ("session_cookie=s3cr3t&b=c", "session_cookie=<hidden>&b=c"),
    ]);
}
