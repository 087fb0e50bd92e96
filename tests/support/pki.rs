//! Certificates for one test, made when it runs.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

/// An authority, and what it has signed for a server on 127.0.0.1 and for a client.
pub struct Pki {
    /// The certificate of the authority, in PEM.
    pub ca_pem: String,
    /// For a server on 127.0.0.1.
    pub server: Signed,
    /// For a client.
    pub client: Signed,
    /// As `server`, but of a year long past.
    pub expired_server: Signed,
    /// The same of a client.
    pub expired_client: Signed,
}

/// A certificate and its key, in PEM.
pub struct Signed {
    /// The certificate.
    pub cert_pem: String,
    /// Its key.
    pub key_pem: String,
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}

impl Pki {
    /// All of them, signed by an authority that is made for this.
    pub fn new() -> Self {
        Self::of_authority("test-ca")
    }

    /// By the name of its issuer a certificate finds the authority that may have signed it.
    pub fn of_authority(name: &str) -> Self {
        let mut params = params(name);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, key()).expect("an authority");
        let sign = |params: CertificateParams| {
            let key = key();
            let cert = params.signed_by(&key, &ca);
            Signed {
                cert_pem: cert.expect("a certificate").pem(),
                key_pem: key.serialize_pem(),
            }
        };
        Self {
            server: sign(self::params("127.0.0.1")),
            client: sign(self::params("test-client")),
            expired_server: sign(expired("127.0.0.1")),
            expired_client: sign(expired("test-client")),
            ca_pem: ca.pem(),
        }
    }

    /// Writes `ca.pem`, `server.pem` and `server-key.pem`.
    pub(crate) fn write_server_files(&self, dir: &Path) {
        write(dir, "ca.pem", &self.ca_pem);
        self.server.write_as_servers(dir);
    }
}

impl Signed {
    /// Writes `server.pem` and `server-key.pem`.
    pub(crate) fn write_as_servers(&self, dir: &Path) {
        write(dir, "server.pem", &self.cert_pem);
        write(dir, "server-key.pem", &self.key_pem);
    }
}

fn write(dir: &Path, name: &str, pem: &str) {
    std::fs::write(dir.join(name), pem).expect("a file for etcd");
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).expect("a usable name")
}

fn expired(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}
