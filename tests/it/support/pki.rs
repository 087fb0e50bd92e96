//! Certificates for one test, made when it runs.

// Shared by several test programs, each of which uses a part.
#![allow(dead_code)]

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// An authority, and what it has signed for a server on 127.0.0.1 and for a client.
pub(crate) struct Pki {
    pub(crate) ca_pem: String,
    pub(crate) server: Signed,
    pub(crate) client: Signed,
}

/// A certificate and its key, in PEM.
pub(crate) struct Signed {
    pub(crate) cert_pem: String,
    pub(crate) key_pem: String,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let mut params = params("test-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, key()).expect("an authority");
        let sign = |name| {
            let key = key();
            let cert = self::params(name).signed_by(&key, &ca);
            Signed {
                cert_pem: cert.expect("a certificate").pem(),
                key_pem: key.serialize_pem(),
            }
        };
        Self {
            server: sign("127.0.0.1"),
            client: sign("test-client"),
            ca_pem: ca.pem(),
        }
    }

    /// Writes `ca.pem`, `server.pem` and `server-key.pem`.
    pub(super) fn write_server_files(&self, dir: &Path) {
        for (name, pem) in [
            ("ca.pem", &self.ca_pem),
            ("server.pem", &self.server.cert_pem),
            ("server-key.pem", &self.server.key_pem),
        ] {
            std::fs::write(dir.join(name), pem).expect("a file for etcd");
        }
    }
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).expect("a usable name")
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}
