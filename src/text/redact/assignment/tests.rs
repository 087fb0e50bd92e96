use super::super::tests::assert_shown;

#[test]
fn a_value_with_a_name_is_hidden() {
    assert_shown(&[
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
        ("{ password => s3cr3t }", "{ password => <hidden> }"),
        ("password := s3cr3t", "password := <hidden>"),
        ("password: hunter\nhost: a", "password: <hidden> host: a"),
        ("password: hunter", "password: <hidden>"),
        (
            "password: s3cr3t is refused",
            "password: <hidden> is refused",
        ),
        ("password=\u{e9}\u{e8}\u{1f512} b", "password=<hidden> b"),
        (
            "AccountName=a;AccountKey=czNjcjN0==;EndpointSuffix=b",
            "AccountName=a;AccountKey=<hidden>;EndpointSuffix=b",
        ),
        (
            "SharedAccessKeyName=a;SharedAccessKey=s3cr3t=",
            "SharedAccessKeyName=a;SharedAccessKey=<hidden>",
        ),
        (
            r#"{"SecretString":"{\"user\":\"a\",\"key\":\"s3cr3t\"}","Name":"b"}"#,
            r#"{"SecretString":"<hidden>","Name":"b"}"#,
        ),
        (
            "password_hash=$2b$12$s3cr3t user=a",
            "password_hash=<hidden> user=a",
        ),
    ]);
}

#[test]
fn a_name_may_have_brackets_and_may_be_encoded() {
    assert_shown(&[
        ("user[password]=s3cr3t&a=b", "user[password]=<hidden>&a=b"),
        (
            "passwords[0]=a password[1]=s3cr3t",
            "passwords[0]=a password[1]=<hidden>",
        ),
        (
            "user[password][]=s3cr3t&a=b",
            "user[password][]=<hidden>&a=b",
        ),
        (
            r#"a["password"] = s3cr3t, b"#,
            r#"a["password"] = <hidden>, b"#,
        ),
        ("?q=password%3Ds3cr3t", "?q=password%3D<hidden>"),
        ("user%5Bpassword%5D=s3cr3t", "user%5Bpassword%5D=<hidden>"),
        ("%22token%22%3A%22s3cr3t%22", "%22token%22%3A<hidden>"),
    ]);
}

#[test]
fn a_name_that_is_common_in_prose_needs_an_equals_sign_or_quotes() {
    assert_shown(&[
        ("pass=s3cr3t sig=s3cr3t", "pass=<hidden> sig=<hidden>"),
        (r#"{"pass":"s3cr3t","a":1}"#, r#"{"pass":"<hidden>","a":1}"#),
        (r#"{"pass":12345,"a":1}"#, r#"{"pass":<hidden>,"a":1}"#),
        (
            r#"{ pass: "s3cr3t", a: 1 }"#,
            r#"{ pass: "<hidden>", a: 1 }"#,
        ),
        (
            r#"{\"pass\":12345,\"a\":1}"#,
            r#"{\"pass\":<hidden>,\"a\":1}"#,
        ),
        (r#"{\"pw\":\"s3cr3t\"}"#, r#"{\"pw\":\"<hidden>\"}"#),
        ("%22pw%22%3A%22s3cr3t%22", "%22pw%22%3A<hidden>"),
        (r#"pass: Some("s3cr3t")"#, r#"pass: Some("<hidden>")"#),
        ("pw: [115, 51], a", "pw: <hidden>, a"),
        ("user: a, pass: s3cr3t, b", "user: a, pass: <hidden>, b"),
    ]);
}

#[test]
fn a_value_in_quotes_may_stand_right_behind_its_name() {
    assert_shown(&[
        (
            "ALTER ROLE a PASSWORD 's3cr3t' LOGIN",
            "ALTER ROLE a PASSWORD '<hidden>' LOGIN",
        ),
        (
            r#"invalid password "s3cr3t""#,
            r#"invalid password "<hidden>""#,
        ),
        ("the passphrase `s3cr3t` is", "the passphrase `<hidden>` is"),
        ("no secret 's3cr3t'", "no secret '<hidden>'"),
        (
            "near 'PASSWORD 's3''cr3t'' at line 1",
            "near 'PASSWORD '<hidden>'' at line 1",
        ),
        (
            "WHERE password != 's3cr3t' OR passwd LIKE 's3cr3t'",
            "WHERE password != '<hidden>' OR passwd LIKE '<hidden>'",
        ),
        (
            r#"the password is "s3cr3t"."#,
            r#"the password is "<hidden>"."#,
        ),
        ("SET a = PASSWORD('s3cr3t')", "SET a = PASSWORD('<hidden>')"),
        (
            r#"set_password("bob", "s3cr3t") failed"#,
            "set_password(<hidden>) failed",
        ),
        (r#"Err(Secret("s3cr3t"))"#, r#"Err(Secret("<hidden>"))"#),
        ("Password([115, 51]) is", "Password(<hidden>) is"),
        ("an api_key \"s3cr3t\" is", "an api_key \"<hidden>\" is"),
    ]);
}

#[test]
fn a_value_may_be_the_next_of_a_list() {
    assert_shown(&[
        ("x --password s3cr3t --all", "x --password <hidden> --all"),
        (
            r#""x" "--password" "s3cr3t""#,
            r#""x" "--password" "<hidden>""#,
        ),
        (
            r#"["x", "--password", "s3cr3t", "--all"]"#,
            r#"["x", "--password", "<hidden>", "--all"]"#,
        ),
        (
            r#"[("user", "a"), ("password", "s3cr3t")]"#,
            r#"[("user", "a"), ("password", "<hidden>")]"#,
        ),
        (
            r#"(\"password\", \"s3cr3t\")"#,
            r#"(\"password\", \"<hidden>\")"#,
        ),
    ]);
}

#[test]
fn an_empty_value_leaves_the_next_one_alone() {
    assert_shown(&[
        (
            "host=db password= user=app token=s3cr3t",
            "host=db password= user=app token=<hidden>",
        ),
        ("password= s3cr3t user=app", "password= <hidden> user=app"),
        ("password= czNjcjN0= a", "password= <hidden> a"),
        ("password = a=b c", "password = <hidden> c"),
    ]);
}
