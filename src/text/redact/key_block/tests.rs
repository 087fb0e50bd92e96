use super::super::shown::{MOST_READ, redact};
use super::super::tests::assert_shown;

/// What such a key looks like: more than one line of Base64.
const KEY: &str = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n\
    MzEfYyjiWA4R4s3cr3t4M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtC";

#[test]
fn private_keys_are_hidden() {
    for label in [
        "PRIVATE KEY",
        "RSA PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "PGP PRIVATE KEY BLOCK",
    ] {
        assert_shown(&[
            (
                &format!("a -----BEGIN {label}-----\n{KEY}\n-----END {label}-----\nb"),
                &format!("a -----BEGIN {label}----- <hidden> -----END {label}----- b"),
            ),
            (
                &format!("key: -----BEGIN {label}-----\n{KEY}"),
                &format!("key: -----BEGIN {label}----- <hidden>"),
            ),
            (
                &format!("private_key=-----BEGIN {label}-----\n{KEY}\n-----END {label}-----\nb"),
                &format!("private_key=-----BEGIN {label}----- <hidden> -----END {label}----- b"),
            ),
            (
                &format!(
                    "\"-----BEGIN {label}-----\\n{}\\n-----END {label}-----\"",
                    KEY.replace('\n', "\\n")
                ),
                &format!("\"-----BEGIN {label}-----\\n<hidden>-----END {label}-----\""),
            ),
        ]);
    }
    assert_shown(&[
        (
            &format!(
                "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nComment: a\n{KEY}\n---- END SSH2 ENCRYPTED PRIVATE KEY ----"
            ),
            "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ---- <hidden> ---- END SSH2 ENCRYPTED PRIVATE KEY ----",
        ),
        (
            &format!(
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0a\n\n{KEY}"
            ),
            "-----BEGIN RSA PRIVATE KEY----- <hidden>",
        ),
    ]);
}

#[test]
fn a_key_that_is_cut_off_is_hidden() {
    for length in 0..60 {
        let begin = "-----BEGIN PRIVATE KEY-----\n";
        let text = format!(
            "password={} {begin}{KEY}",
            "x".repeat(MOST_READ - "password= ".len() - begin.len() - length)
        );
        let shown = redact(&text);
        assert!(!shown.contains("MI"), "{length}: {shown}");
    }
}
