use super::super::shown::{MOST_READ, redact};
use super::super::tests::assert_shown;

const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzM2NyM3QifQ.s3cr3t-s3cr3t_s3cr3t";

#[test]
fn a_token_that_stands_alone_is_hidden() {
    let header = &TOKEN[..20];
    assert_shown(&[
        (
            &format!("invalid token {TOKEN}: expired"),
            "invalid token <hidden>: expired",
        ),
        (&format!("(\"{TOKEN}\")"), "(\"<hidden>\")"),
        (&format!("a={TOKEN}."), "a=<hidden>."),
        (&format!("a%22{TOKEN}%22"), "a%22<hidden>%22"),
        (&format!("a-token_{TOKEN} b"), "a-token_<hidden> b"),
        // It has no signature, or it was cut off.
        (&format!("a {header}.e30. b"), "a <hidden>. b"),
        (&format!("a {header}.eyJzdW"), "a <hidden>"),
        // It is encrypted.
        (
            &format!("a {header}.s3cr3t.s3cr3t.s3cr3t.s3cr3t b"),
            "a <hidden> b",
        ),
    ]);
}

#[test]
fn a_token_that_is_cut_off_is_hidden() {
    for length in 1..TOKEN.len() {
        let text = format!(
            "password={} {TOKEN}",
            "x".repeat(MOST_READ - "password= ".len() - length)
        );
        let shown = redact(&text);
        assert!(length < 3 || !shown.contains("eyJ"), "{length}: {shown}");
    }
}
