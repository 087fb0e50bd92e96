//! Certificates and keys for TLS connections to etcd.

use std::fmt;

use etcd_client::{Certificate, Identity, TlsOptions};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use crate::etcd::basics::{EtcdConfigError, EtcdError};

/// Certificates for endpoints with `https://`.
///
/// The authority that signed the servers' certificates must be given. The list of the operating system is not used,
/// because an etcd cluster usually has its own authority.
///
/// `Debug` shows neither certificates nor keys.
///
/// ```no_run
/// use overwatch::etcd::Tls;
///
/// # fn main() -> std::io::Result<()> {
/// let tls = Tls::new(std::fs::read("ca.pem")?)
///     .with_identity(std::fs::read("client.pem")?, std::fs::read("client-key.pem")?)
///     .with_domain_name("etcd.internal");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tls {
    ca_pem: Vec<u8>,
    identity: Option<Pair>,
    domain_name: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Pair {
    cert_pem: Vec<u8>,
    key_pem: Vec<u8>,
}

impl Pair {
    fn has_expired(&self) -> bool {
        let Ok(der) = CertificateDer::from_pem_slice(&self.cert_pem) else {
            return false;
        };
        let Ok(cert) = EndEntityCert::try_from(&der) else {
            return false;
        };
        // Without an authority the certificate is never valid, but its expiry is checked first.
        let (now, usage) = (UnixTime::now(), KeyUsage::client_auth());
        let verified = cert.verify_for_usage(&[], &[], &[], now, usage, None, None);
        matches!(verified, Err(webpki::Error::CertExpired { .. }))
    }
}

impl Tls {
    /// Trusts servers whose certificate was signed by this authority: one or more certificates in PEM.
    ///
    /// They are checked when the probe is built.
    pub fn new(ca_pem: impl Into<Vec<u8>>) -> Self {
        Self {
            ca_pem: ca_pem.into(),
            identity: None,
            domain_name: None,
        }
    }

    /// Sets the certificate and the private key with which this client authenticates: both in PEM.
    ///
    /// They are required if etcd runs with `--client-cert-auth`.
    #[must_use]
    pub fn with_identity(
        mut self,
        cert_pem: impl Into<Vec<u8>>,
        key_pem: impl Into<Vec<u8>>,
    ) -> Self {
        self.identity = Some(Pair {
            cert_pem: cert_pem.into(),
            key_pem: key_pem.into(),
        });
        self
    }

    /// Sets the name that the servers' certificates must contain, if it is not the host of the endpoint.
    #[must_use]
    pub fn with_domain_name(mut self, name: impl Into<String>) -> Self {
        self.domain_name = Some(name.into());
        self
    }

    /// Checks that each part is PEM of the right kind, so that swapped files are noticed before the first connection.
    pub(crate) fn check(&self) -> Result<(), EtcdConfigError> {
        let bad = |problem: &str| {
            Err(EtcdConfigError::BadSetting {
                knob: "tls",
                problem: problem.to_owned(),
            })
        };
        if !has_label(&self.ca_pem, "CERTIFICATE") {
            return bad("the authority holds no PEM certificate: give the content of the file");
        }
        if let Some(Pair { cert_pem, key_pem }) = &self.identity {
            if !has_label(cert_pem, "CERTIFICATE") {
                return bad("the identity's certificate holds no PEM certificate");
            }
            if !has_label(key_pem, "PRIVATE KEY") {
                return bad("the identity's key holds no PEM private key");
            }
        }
        if self.domain_name.as_ref().is_some_and(String::is_empty) {
            return bad("the domain name is empty: leave it out to use the endpoint's host");
        }
        Ok(())
    }

    /// Adds a likely cause to the error: servers hardly explain why they refuse a client, and their alert may get lost.
    pub(crate) fn explain(&self, mut cause: EtcdError) -> EtcdError {
        if cause.closed || cause.text.contains("received fatal alert") {
            cause.text += match &self.identity {
                None => "; does the server want a client certificate? None is set",
                Some(pair) if pair.has_expired() => "; the client certificate has expired",
                Some(_) => "; does the server trust the authority of the client certificate?",
            };
        }
        cause
    }

    pub(crate) fn options(&self) -> TlsOptions {
        let mut options = TlsOptions::new().ca_certificate(Certificate::from_pem(&self.ca_pem));
        if let Some(Pair { cert_pem, key_pem }) = &self.identity {
            options = options.identity(Identity::from_pem(cert_pem, key_pem));
        }
        if let Some(name) = &self.domain_name {
            options = options.domain_name(name);
        }
        options
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("identity", &self.identity.is_some())
            .field("domain_name", &self.domain_name)
            .finish_non_exhaustive()
    }
}

/// Whether `pem` has a section whose label ends with `label` (the label of a key is e.g. `EC PRIVATE KEY`).
fn has_label(pem: &[u8], label: &str) -> bool {
    String::from_utf8_lossy(pem).lines().any(|line| {
        line.trim()
            .strip_prefix("-----BEGIN ")
            .and_then(|rest| rest.strip_suffix("-----"))
            .is_some_and(|found| found.ends_with(label))
    })
}
