use super::super::tests::assert_shown;

#[test]
fn what_follows_bearer_or_basic_is_hidden() {
    assert_shown(&[
        ("Bearer s3cr3t", "Bearer <hidden>"),
        ("bearer xyz, then more", "bearer <hidden>, then more"),
        (r#"bearer "s3cr3t" b"#, r#"bearer "<hidden>" b"#),
        ("Bearer: s3cr3t b", "Bearer: <hidden> b"),
        ("Bearer=s3cr3t b", "Bearer=<hidden> b"),
        ("?a=Bearer%20s3cr3t&b=c", "?a=Bearer%20<hidden>&b=c"),
        ("a=Bearer+s3cr3t&b=c", "a=Bearer+<hidden>&b=c"),
        (r#""Bearer czNjcjN0=", b"#, r#""Bearer <hidden>", b"#),
        ("sent Basic czNjcjN0OmE=", "sent Basic <hidden>"),
        // Base64 may consist of letters only.
        ("sent Basic YWJjOmRlZg", "sent Basic <hidden>"),
    ]);
}

#[test]
fn an_authorization_header_is_hidden_whatever_its_scheme() {
    assert_shown(&[
        (
            "Authorization: Bearer s3cr3t\nhost: a",
            "Authorization: Bearer <hidden> host: a",
        ),
        (
            "authorization: Basic czNjcjN0OmE= x",
            "authorization: Basic <hidden> x",
        ),
        (
            r#""authorization": "Basic s3cr3t""#,
            r#""authorization": "<hidden>""#,
        ),
        (
            "Authorization: OAuth s3cr3t b",
            "Authorization: OAuth <hidden> b",
        ),
        (
            "authorization=OAuth s3cr3t b",
            "authorization=OAuth <hidden> b",
        ),
        ("Authorization: NTLM s3cr3t", "Authorization: NTLM <hidden>"),
        // Of a scheme that is not known, it cannot be said whether it is one.
        ("Authorization: Key s3cr3t b", "Authorization: <hidden> b"),
        ("authorization=Key s3cr3t b", "authorization=<hidden> b"),
        (
            "Authorization: SharedKey a:s3cr3t= b",
            "Authorization: <hidden> b",
        ),
        (
            "Authorization: GoogleLogin auth=s3cr3t b",
            "Authorization: <hidden> b",
        ),
        (
            r#"Proxy-Authorization: Digest username="a b", response="s3cr3t" c"#,
            "Proxy-Authorization: Digest <hidden> c",
        ),
        (
            "authorization: OAuth realm=\"a\", oauth_token=\"s3cr3t\",\n oauth_signature=\"s3cr3t\", b",
            "authorization: OAuth <hidden>, b",
        ),
        (
            "Authorization: AWS4-HMAC-SHA256 Credential=s3cr3t/a, SignedHeaders=a;b, Signature=s3cr3t c",
            "Authorization: <hidden> c",
        ),
        ("authorization: s3cr3t b", "authorization: <hidden> b"),
    ]);
}
