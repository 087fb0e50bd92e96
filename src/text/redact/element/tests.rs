use super::super::tests::assert_shown;

#[test]
fn elements_are_hidden() {
    assert_shown(&[
        (
            "<user>a</user><password>s3 cr3t</password>",
            "<user>a</user><password><hidden></password>",
        ),
        (
            "<w:Password Type=\"a\">s3cr3t</w:Password> b",
            "<w:Password Type=\"a\"><hidden></w:Password> b",
        ),
        (r"<token>s3cr3t<\/token>", r"<token><hidden><\/token>"),
    ]);
}
