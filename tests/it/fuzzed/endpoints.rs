//! What an operator may write for etcd: addresses, a user, certificates, numbers.

use std::fmt::{Arguments, Debug};
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use overwatch::etcd::{EtcdConfig, EtcdConfigError, EtcdProbe, Tls};
use overwatch::{Policy, Probe};

use super::wild::{beside, wild};

/// Panics if text is taken that makes no sense, refused without a reason, or if a secret is shown.
pub(crate) fn check(data: &[u8]) {
    explore(data, &mut |_| ());
}

/// The same, and tells what was seen on the way.
pub(crate) fn explore(data: &[u8], note: &mut dyn FnMut(Arguments<'_>)) {
    // Bytes that cannot be decoded mean nothing.
    let _ = configure(&mut Unstructured::new(data), note);
}

fn configure(bytes: &mut Unstructured<'_>, note: &mut dyn FnMut(Arguments<'_>)) -> Result<()> {
    let given = Given::decode(bytes)?;
    let texts: Vec<String> = given.endpoints.iter().map(Address::text).collect();
    let normal: std::result::Result<Vec<String>, _> =
        texts.iter().map(|text| normal_form(text)).collect();
    let config = match EtcdConfig::new(&texts) {
        Ok(config) => config,
        Err(error) => {
            note(format_args!("refused: {}", refused(&error, &given)));
            match error {
                EtcdConfigError::NoEndpoints => assert!(texts.is_empty()),
                EtcdConfigError::TooManyEndpoints { max } => assert!(texts.len() > max),
                EtcdConfigError::BadEndpoint { .. } => assert!(normal.is_err(), "{error}"),
                EtcdConfigError::DuplicateEndpoint { endpoint } => {
                    let twice = |given: &&String| normal_form(given) == Ok(endpoint.clone());
                    assert!(
                        texts.iter().filter(twice).count() > 1,
                        "{endpoint} in {texts:?}"
                    );
                }
                other => panic!("{other} says nothing about endpoints"),
            }
            return Ok(());
        }
    };
    let normal = normal.unwrap_or_else(|error| panic!("{error}, but {texts:?} was taken"));
    let number = normal.len();
    assert!((1..=32).contains(&number), "{number} endpoints were taken");
    normal.iter().for_each(|url| is_plain(url));
    assert_eq!(EtcdConfig::new(&normal), Ok(config.clone()), "{texts:?}");

    let config = given.settings(config);
    given.keeps_secrets(&config);
    let expected = given.broken(&normal);
    match EtcdProbe::new(config.clone()) {
        Ok(probe) => {
            assert_eq!(expected, None, "taken: {config:?}");
            given.keeps_secrets(&probe);
            given.limits(&probe);
            note(format_args!(
                "taken{}",
                if given.tls.is_some() {
                    ", with TLS"
                } else {
                    ""
                }
            ));
        }
        Err(error) => {
            note(format_args!("refused: {}", refused(&error, &given)));
            let (knob, value) = match &error {
                EtcdConfigError::BadSetting { knob, problem } => {
                    assert!(problem.len() > 10, "{problem}");
                    (*knob, None)
                }
                EtcdConfigError::OutOfBounds { knob, value, bound } => {
                    assert!(bound.starts_with("at "), "{bound}");
                    (*knob, Some(*value))
                }
                other => panic!("{other} says nothing about settings"),
            };
            assert!(error.to_string().starts_with(knob), "{error}");
            assert_eq!(expected, Some((knob, value)), "{error}");
        }
    }
    Ok(())
}

/// What a refusal is about. It has a text, which gives nothing away.
fn refused(error: &EtcdConfigError, given: &Given) -> &'static str {
    assert!(error.to_string().len() > 10, "{error}");
    given.keeps_secrets(error);
    given.hides_in(&error.to_string());
    match error {
        EtcdConfigError::NoEndpoints => "no endpoints",
        EtcdConfigError::TooManyEndpoints { .. } => "too many endpoints",
        EtcdConfigError::BadEndpoint { .. } => "bad endpoint",
        EtcdConfigError::DuplicateEndpoint { .. } => "duplicate endpoint",
        EtcdConfigError::BadSetting { knob, .. } | EtcdConfigError::OutOfBounds { knob, .. } => {
            knob
        }
        _ => "something new",
    }
}

/// An address as it is understood: given twice, it is named in its normal form.
fn normal_form(text: &str) -> std::result::Result<String, EtcdConfigError> {
    match EtcdConfig::new([text, text]) {
        Err(EtcdConfigError::DuplicateEndpoint { endpoint }) => Ok(endpoint),
        Err(error) => Err(error),
        Ok(_) => panic!("{text:?} differs from itself"),
    }
}

/// A URL of a scheme, a host and a port, and nothing else.
fn is_plain(url: &str) {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let (host, port) = rest.and_then(|rest| rest.rsplit_once(':')).expect(url);
    let number: u16 = port.parse().expect(url);
    assert!(number > 0 && number.to_string() == port, "{url}");
    let odd = |c: char| {
        c.is_whitespace() || c.is_control() || c.is_ascii_uppercase() || "@/?#,\\\"".contains(c)
    };
    assert!(!host.is_empty() && !host.contains(odd), "{url}");
    // The colons of an IPv6 address are within brackets.
    let colons = host.contains(':');
    assert!(
        !colons || host.starts_with('[') && host.ends_with(']'),
        "{url}"
    );
    assert_eq!(normal_form(url).as_deref(), Ok(url));
}

/// All that was written.
struct Given {
    endpoints: Vec<Address>,
    user: Option<(String, Secret)>,
    tls: Option<Certificates>,
    sentinel_key: Option<String>,
    interval: Duration,
    request_timeout: Duration,
    connect_timeout: Duration,
    grace: Duration,
    silence_limit: Duration,
}

/// One endpoint, in its parts.
struct Address {
    scheme: String,
    user: Option<(String, Secret)>,
    rest: String,
}

/// Text around a word that no error and no log may show.
struct Secret {
    before: String,
    after: String,
}

struct Certificates {
    authority: Pem,
    identity: Option<(Pem, Pem)>,
    domain_name: Option<String>,
}

/// Something in place of a PEM file, and the label of its one section.
struct Pem {
    bytes: Vec<u8>,
    label: &'static str,
}

const SECRET: &str = "hunter2";

impl Given {
    fn decode(bytes: &mut Unstructured<'_>) -> Result<Self> {
        let seconds = Duration::from_secs;
        let mut given = Self {
            endpoints: Vec::new(),
            user: None,
            tls: None,
            sentinel_key: None,
            interval: seconds(1),
            request_timeout: seconds(2),
            connect_timeout: seconds(2),
            grace: seconds(4),
            silence_limit: seconds(5),
        };
        let number = match u8::arbitrary(bytes)? {
            few @ 0..=239 => few % 4,
            // Around the most that are taken.
            many => 30 + many % 4,
        };
        for place in 0..number {
            given.endpoints.push(if number > 4 {
                Address::numbered(place)
            } else {
                Address::decode(bytes)?
            });
        }
        for _ in 0..u8::arbitrary(bytes)? % 8 {
            match u8::arbitrary(bytes)? % 9 {
                0 => given.user = Some((text(bytes)?, Secret::decode(bytes)?)),
                1 => given.sentinel_key = Some(text(bytes)?),
                2 => given.tls = Some(Certificates::decode(bytes)?),
                3 => given.interval = wild(bytes, DURATIONS)?,
                4 => given.request_timeout = wild(bytes, DURATIONS)?,
                5 => given.connect_timeout = wild(bytes, DURATIONS)?,
                6 => given.grace = wild(bytes, DURATIONS)?,
                7 => {
                    let least = given.interval.saturating_add(given.request_timeout);
                    given.grace = *bytes.choose(&beside(least))?;
                }
                _ => given.silence_limit = wild(bytes, DURATIONS)?,
            }
        }
        Ok(given)
    }

    fn settings(&self, mut config: EtcdConfig) -> EtcdConfig {
        if let Some((name, password)) = &self.user {
            config = config.user(name, password.text());
        }
        if let Some(key) = &self.sentinel_key {
            config = config.sentinel_key(key);
        }
        if let Some(tls) = &self.tls {
            config = config.tls(tls.tls());
        }
        config
            .interval(self.interval)
            .request_timeout(self.request_timeout)
            .connect_timeout(self.connect_timeout)
            .grace(self.grace)
    }

    /// The first knob that is out of the bounds which the documentation gives, and its value if it
    /// is a number.
    fn broken(&self, urls: &[String]) -> Option<(&'static str, Option<Duration>)> {
        if self.user.as_ref().is_some_and(|(name, _)| name.is_empty()) {
            return Some(("user", None));
        }
        if self.sentinel_key.as_ref().is_some_and(String::is_empty) {
            return Some(("sentinel_key", None));
        }
        let certified = self.tls.is_some();
        let whole = self.tls.as_ref().is_none_or(Certificates::are_whole);
        if !whole
            || urls
                .iter()
                .any(|url| url.starts_with("https:") != certified)
        {
            return Some(("tls", None));
        }
        let ms = Duration::from_millis;
        for (knob, value) in [
            ("interval", self.interval),
            ("request_timeout", self.request_timeout),
            ("connect_timeout", self.connect_timeout),
        ] {
            if value < ms(100) || value > ms(30_000) {
                return Some((knob, Some(value)));
            }
        }
        let least = (self.interval + self.request_timeout).max(self.connect_timeout);
        let fits = self.grace >= least && self.grace <= ms(600_000);
        (!fits).then_some(("grace", Some(self.grace)))
    }

    /// What the probe says about a policy's silence limit.
    fn limits(&self, probe: &EtcdProbe) {
        let Ok(policy) = Policy::builder().silence_limit(self.silence_limit).build() else {
            return;
        };
        match probe.check(&policy) {
            Ok(()) => assert!(self.grace < self.silence_limit, "{:?}", self.silence_limit),
            Err(error) => {
                assert!(self.grace >= self.silence_limit, "{error}");
                assert_eq!(error.knob(), "silence_limit");
            }
        }
    }

    fn keeps_secrets(&self, shown: &impl Debug) {
        self.hides_in(&format!("{shown:?}"));
        self.hides_in(&format!("{shown:#?}"));
    }

    fn hides_in(&self, shown: &str) {
        assert!(self.tells_secret() || !shown.contains(SECRET), "{shown}");
    }

    /// Whether the secret is also written where no secret is expected.
    fn tells_secret(&self) -> bool {
        let users = self
            .endpoints
            .iter()
            .filter_map(|address| address.user.as_ref());
        let mut open: Vec<&str> = Vec::new();
        for (name, password) in users.chain(&self.user) {
            open.extend([name.as_str(), &password.before, &password.after]);
        }
        for address in &self.endpoints {
            open.extend([address.scheme.as_str(), &address.rest]);
        }
        open.extend(self.sentinel_key.as_deref());
        open.extend(self.tls.iter().filter_map(|tls| tls.domain_name.as_deref()));
        open.iter().any(|text| text.to_lowercase().contains(SECRET))
    }
}

impl Address {
    fn decode(bytes: &mut Unstructured<'_>) -> Result<Self> {
        let scheme = part(bytes, SCHEMES)?;
        let user = match u8::arbitrary(bytes)? % 4 {
            3 => Some((text(bytes)?, Secret::decode(bytes)?)),
            _ => None,
        };
        let mut rest = part(bytes, HOSTS)?;
        rest += &part(bytes, PORTS)?;
        rest += &part(bytes, TAILS)?;
        if u8::arbitrary(bytes)? == 255 {
            // Longer than any URL may be.
            rest = rest.repeat(70_000 / rest.len().max(1));
        }
        Ok(Self { scheme, user, rest })
    }

    fn numbered(place: u8) -> Self {
        Self {
            scheme: "http://".into(),
            user: None,
            rest: format!("member-{place}"),
        }
    }

    fn text(&self) -> String {
        let Self { scheme, user, rest } = self;
        match user {
            Some((name, password)) => format!("{scheme}{name}:{}@{rest}", password.text()),
            None => format!("{scheme}{rest}"),
        }
    }
}

impl Secret {
    fn decode(bytes: &mut Unstructured<'_>) -> Result<Self> {
        Ok(Self {
            before: text(bytes)?,
            after: text(bytes)?,
        })
    }

    fn text(&self) -> String {
        format!("{}{SECRET}{}", self.before, self.after)
    }
}

impl Certificates {
    fn decode(bytes: &mut Unstructured<'_>) -> Result<Self> {
        let whole = |label| Pem::new(label, Vec::new());
        let mut certificates = Self {
            authority: whole("CERTIFICATE"),
            identity: None,
            domain_name: None,
        };
        let what = u8::arbitrary(bytes)?;
        if what & 1 != 0 {
            certificates.authority = Pem::decode(bytes)?;
        }
        if what & 2 != 0 {
            certificates.identity = Some((whole("CERTIFICATE"), whole("RSA PRIVATE KEY")));
        }
        if what & 4 != 0 {
            certificates.identity = Some((Pem::decode(bytes)?, Pem::decode(bytes)?));
        }
        if what & 8 != 0 {
            certificates.domain_name = Some(text(bytes)?);
        }
        Ok(certificates)
    }

    fn tls(&self) -> Tls {
        let mut tls = Tls::new(self.authority.bytes.clone());
        if let Some((cert, key)) = &self.identity {
            tls = tls.identity(cert.bytes.clone(), key.bytes.clone());
        }
        match &self.domain_name {
            Some(name) => tls.domain_name(name),
            None => tls,
        }
    }

    fn are_whole(&self) -> bool {
        let identity = self.identity.as_ref().is_none_or(|(cert, key)| {
            cert.label.ends_with("CERTIFICATE") && key.label.ends_with("PRIVATE KEY")
        });
        let named = self
            .domain_name
            .as_ref()
            .is_none_or(|name| !name.is_empty());
        self.authority.label.ends_with("CERTIFICATE") && identity && named
    }
}

impl Pem {
    fn decode(bytes: &mut Unstructured<'_>) -> Result<Self> {
        let choice = usize::from(u8::arbitrary(bytes)?);
        let label = LABELS[choice % LABELS.len()];
        // Certificates may stand below a description of them, of any bytes.
        let length = usize::from(u8::arbitrary(bytes)?).min(bytes.len());
        let mut before = bytes.bytes(length)?.to_vec();
        if String::from_utf8_lossy(&before).contains("-----BEGIN") {
            before.clear();
        }
        Ok(Self::new(label, before))
    }

    fn new(label: &'static str, mut bytes: Vec<u8>) -> Self {
        if !label.is_empty() {
            let body = format!("\n-----BEGIN {label}-----\n{SECRET}\n-----END {label}-----\n");
            bytes.extend(body.into_bytes());
        }
        Self { bytes, label }
    }
}

/// One of these, or anything.
fn part(bytes: &mut Unstructured<'_>, parts: &[&str]) -> Result<String> {
    let choice = usize::from(u8::arbitrary(bytes)?) % (parts.len() + 1);
    match parts.get(choice) {
        Some(part) => Ok((*part).to_owned()),
        None => text(bytes),
    }
}

fn text(bytes: &mut Unstructured<'_>) -> Result<String> {
    let length = usize::from(u8::arbitrary(bytes)? % 24).min(bytes.len());
    Ok(String::from_utf8_lossy(bytes.bytes(length)?).into_owned())
}

const SCHEMES: &[&str] = &["http://", "https://", "HTTP://", "ftp://", "", "http:/"];

const HOSTS: &[&str] = &[
    "localhost",
    "127.0.0.1",
    "[::1]",
    "Etcd-0.etcd",
    "10.0.0.2",
    "",
    "[::1",
    "exa mple",
    "[fe80::1%25eth0]",
];

const PORTS: &[&str] = &[
    "", ":2379", ":2380", ":0", ":65535", ":65536", ":", ":+1", ":02379", ":a",
];

const TAILS: &[&str] = &["", "/", "/v3", "?x=1", "#f", ",http://b:2379"];

const LABELS: &[&str] = &[
    "CERTIFICATE",
    "PRIVATE KEY",
    "EC PRIVATE KEY",
    "TRUSTED CERTIFICATE",
    "X509 CRL",
    "",
];

const DURATIONS: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_millis(100),
    Duration::from_micros(99_999),
    Duration::from_secs(30),
    Duration::from_micros(30_000_001),
    Duration::from_secs(5),
    Duration::from_secs(600),
    Duration::from_micros(600_000_001),
    Duration::ZERO,
    Duration::MAX,
];
