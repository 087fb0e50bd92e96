use super::super::tests::assert_shown;

#[test]
fn passwords_in_statements_are_hidden() {
    assert_shown(&[
        (
            "CREATE USER a IDENTIFIED BY 's3cr3t' b",
            "CREATE USER a IDENTIFIED BY '<hidden>' b",
        ),
        (
            "IDENTIFIED WITH 'caching_sha2_password' BY 's3cr3t'",
            "IDENTIFIED WITH 'caching_sha2_password' BY '<hidden>'",
        ),
        (
            "IDENTIFIED WITH a AS \\\"s3cr3t\\\"",
            "IDENTIFIED WITH a AS \\\"<hidden>\\\"",
        ),
        (
            "IDENTIFIED BY PASSWORD '*s3cr3t'",
            "IDENTIFIED BY PASSWORD '<hidden>'",
        ),
        (
            "SET PASSWORD FOR a = 's3cr3t'",
            "SET PASSWORD FOR a = '<hidden>'",
        ),
        (
            "SET PASSWORD FOR 'a'@'%' TO 's3cr3t'",
            "SET PASSWORD FOR 'a'@'%' TO '<hidden>'",
        ),
    ]);
}
