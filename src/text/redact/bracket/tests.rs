use super::super::tests::assert_shown;

#[test]
fn lists_and_structures_are_hidden_as_a_whole() {
    assert_shown(&[
        ("password: [115, 51, 99], a: 1", "password: <hidden>, a: 1"),
        ("token: Some([1, 2]) b", "token: Some(<hidden>) b"),
        (
            r#"A { token: Token { value: "s3}r3t", of: [1] }, b: 2 }"#,
            "A { token: <hidden>, b: 2 }",
        ),
        (
            r#"{"credentials": {"user": "a", "key": "s3cr3t"}, "b": 1}"#,
            r#"{"credentials": <hidden>, "b": 1}"#,
        ),
        (r#"secret: {"a": "s3cr3t""#, "secret: <hidden>"),
        (
            r#"credentials: ("a", "s3cr3t"), b"#,
            "credentials: <hidden>, b",
        ),
        (r#"passwd: [Some("s3cr3t")], b"#, "passwd: <hidden>, b"),
        (r#"passwd: [b"s3cr3t"], b"#, "passwd: <hidden>, b"),
        (
            "token: Token {\n    value: \"s3cr3t\",\n}, b",
            "token: <hidden>, b",
        ),
    ]);
}

#[test]
fn a_quote_in_a_structure_hides_no_more_than_the_structure() {
    assert_shown(&[
        (
            r#"{\"token\":{\"a\":\"s3cr3t\"},\"error\":\"quota\"}"#,
            r#"{\"token\":<hidden>,\"error\":\"quota\"}"#,
        ),
        (
            r#"\"token\":{\"a\":\"s3}\\\"cr3t\"}, quota"#,
            r#"\"token\":<hidden>, quota"#,
        ),
        (
            "token: {a: can't say, b: s3cr3t}, quota",
            "token: <hidden>, quota",
        ),
        (
            "token: {a: '}', b: s3cr3t}, quota",
            "token: <hidden>, quota",
        ),
        (
            "token: {a: b'}', b: s3cr3t}, quota",
            "token: <hidden>, quota",
        ),
        (
            r#"token: {a: '"', b: s3cr3t}, quota"#,
            "token: <hidden>, quota",
        ),
        (
            r#"token: {'a': '\'}', b: s3cr3t}, quota"#,
            "token: <hidden>, quota",
        ),
        ("token: {a: `, b: s3cr3t}, quota", "token: <hidden>, quota"),
        (
            "token: {a: :-), b: s3cr3t}, quota",
            "token: <hidden>, quota",
        ),
        (
            "token: Some({a: ], b: s3cr3t}), quota",
            "token: Some(<hidden>), quota",
        ),
    ]);
}
