//! What an operator may write for etcd: addresses, a user, certificates, numbers.

use std::fmt::{Arguments, Debug};
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use overwatch::etcd::{EtcdConfig, EtcdConfigError, EtcdProbe, Tls};
use overwatch::{Policy, Probe};

use crate::wild::{beside, wild};

/// Panics if text is taken that makes no sense, refused without a reason, or if a secret is shown.
pub fn check(data: &[u8]) {
    explore(data, &mut |_| ());
}

/// The same as [`check`], and notes what was seen on the way.
pub fn explore(data: &[u8], note: &mut dyn FnMut(Arguments<'_>)) {
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
            assert_eq!(expected, [], "taken: {config:?}");
            given.keeps_secrets(&probe);
            given.limits(&probe, note);
            let tls = if given.tls.is_some() {
                ", with TLS"
            } else {
                ""
            };
            note(format_args!("taken{tls}"));
            note(format_args!("taken: {}", PRESETS[given.preset]));
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
            assert!(
                expected.contains(&(knob, value)),
                "{error}, and not {expected:?}"
            );
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
    /// In this order.
    steps: Vec<Step>,
    /// What the steps amount to: the preset, and the numbers in the order of `KNOBS`.
    preset: usize,
    numbers: [Duration; KNOBS.len()],
    slow_answers: u32,
    silence_limit: Duration,
}

/// One call that sets numbers.
enum Step {
    Preset(usize),
    Number(usize, Duration),
    SlowAnswers(u32),
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
        let mut given = Self {
            endpoints: Vec::new(),
            user: None,
            tls: None,
            sentinel_key: None,
            steps: Vec::new(),
            preset: 0,
            numbers: preset(0),
            slow_answers: 3,
            silence_limit: Duration::from_secs(5),
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
            match u8::arbitrary(bytes)? % 16 {
                0 => given.user = Some((text(bytes)?, Secret::decode(bytes)?)),
                1 => given.sentinel_key = Some(text(bytes)?),
                2 => given.tls = Some(Certificates::decode(bytes)?),
                3 => {
                    given.preset = 1 + usize::from(u8::arbitrary(bytes)?) % 2;
                    given.numbers = preset(given.preset);
                    given.slow_answers = 3;
                    given.steps.push(Step::Preset(given.preset));
                }
                4 => {
                    given.slow_answers = wild(bytes, &[1, 100, 0, 101, u32::MAX])?;
                    given.steps.push(Step::SlowAnswers(given.slow_answers));
                }
                5 => given.silence_limit = *bytes.choose(&beside(given.longest_gap()))?,
                6 => given.silence_limit = edge(bytes)?,
                _ => {
                    let index = usize::from(u8::arbitrary(bytes)?) % KNOBS.len();
                    let time = given.time(bytes)?;
                    given.numbers[index] = time;
                    given.steps.push(Step::Number(index, time));
                }
            }
        }
        Ok(given)
    }

    /// A time at the edge of what one knob may be, or of what two may be together.
    fn time(&self, bytes: &mut Unstructured<'_>) -> Result<Duration> {
        let other = match u8::arbitrary(bytes)? % 6 {
            0 => return bytes.arbitrary(),
            1 | 2 => return edge(bytes),
            choice => (choice, *bytes.choose(&self.numbers)?),
        };
        let bound = match other {
            (3, time) => time,
            (4, time) => time / 2,
            (_, time) => time.saturating_mul(3),
        };
        Ok(*bytes.choose(&beside(bound))?)
    }

    fn settings(&self, mut config: EtcdConfig) -> EtcdConfig {
        if let Some((name, password)) = &self.user {
            config = config.with_user(name, password.text());
        }
        if let Some(key) = &self.sentinel_key {
            config = config.with_sentinel_key(key);
        }
        if let Some(tls) = &self.tls {
            config = config.with_tls(tls.tls());
        }
        for step in &self.steps {
            config = match *step {
                Step::Preset(1) => config.fast(),
                Step::Preset(_) => config.gentle(),
                Step::Number(index, time) => KNOBS[index].1(config, time),
                Step::SlowAnswers(number) => config.with_slow_answers(number),
            };
        }
        config
    }

    /// The knobs that break what the documentation says, with their values if they are times. Which
    /// of several is named in the refusal is nobody's promise.
    fn broken(&self, urls: &[String]) -> Vec<(&'static str, Option<Duration>)> {
        let mut broken = Vec::new();
        if self.user.as_ref().is_some_and(|(name, _)| name.is_empty()) {
            broken.push(("user", None));
        }
        if self.sentinel_key.as_ref().is_some_and(String::is_empty) {
            broken.push(("sentinel_key", None));
        }
        let certified = self.tls.is_some();
        let whole = self.tls.as_ref().is_none_or(Certificates::are_whole);
        let fits = |url: &String| url.starts_with("https:") == certified;
        if !whole || !urls.iter().all(fits) {
            broken.push(("tls", None));
        }
        if self.slow_answers == 0 || self.slow_answers > 100 {
            broken.push(("slow_answers", None));
        }
        for ((knob, ..), value) in KNOBS.iter().zip(self.numbers) {
            let (least, most) = self.bounds(knob);
            if value < least || value > most {
                broken.push((*knob, Some(value)));
            }
        }
        broken
    }

    /// Between what a number must be, as the documentation has it.
    fn bounds(&self, knob: &str) -> (Duration, Duration) {
        let ms = Duration::from_millis;
        let [
            [progress_interval, read_interval, write_interval],
            [progress_grace_period, read_grace_period, write_grace_period],
        ] = [self.every(), self.patience()];
        let election = self.number("election_timeout").saturating_mul(3);
        let request = self.number("request_timeout");
        let connect = self.number("connect_timeout");
        let budget = self.number("latency_budget");
        let twice = budget.saturating_mul(2);
        match knob {
            "progress_interval" | "read_interval" => (ms(100), ms(600_000)),
            "write_interval" => (ms(1_000), ms(600_000)),
            "progress_grace_period" => (twice, ms(600_000)),
            "read_grace_period" | "write_grace_period" => {
                (election.max(request).max(connect).max(twice), ms(600_000))
            }
            "recheck_interval" => {
                let patience = progress_grace_period
                    .min(read_grace_period)
                    .min(write_grace_period);
                let every = progress_interval.min(read_interval).min(write_interval);
                (ms(100), every.min(patience / 2))
            }
            "latency_budget" => (ms(50), request / 2),
            "request_timeout" | "connect_timeout" | "reconnect_interval" | "keepalive_timeout" => {
                (ms(100), ms(30_000))
            }
            "spare_reconnect_interval" => (self.number("reconnect_interval"), ms(600_000)),
            "refused_interval" => (ms(1_000), ms(600_000)),
            "keepalive_interval" => (ms(5_000), ms(600_000)),
            "election_timeout" => (ms(50), ms(50_000)),
            other => panic!("{other} has no bounds"),
        }
    }

    fn every(&self) -> [Duration; 3] {
        ["progress_interval", "read_interval", "write_interval"].map(|knob| self.number(knob))
    }

    fn patience(&self) -> [Duration; 3] {
        [
            "progress_grace_period",
            "read_grace_period",
            "write_grace_period",
        ]
        .map(|knob| self.number(knob))
    }

    fn number(&self, name: &str) -> Duration {
        let mut all = KNOBS.iter().zip(self.numbers);
        let found = all.find(|((knob, ..), _)| *knob == name);
        found.expect(name).1
    }

    /// What the silence limit must be longer than.
    fn longest_gap(&self) -> Duration {
        let shortest = self.every().into_iter().min().unwrap_or_default();
        let longest = self.patience().into_iter().max().unwrap_or_default();
        shortest.saturating_add(longest)
    }

    /// What the probe says about a policy's silence limit.
    fn limits(&self, probe: &EtcdProbe, note: &mut dyn FnMut(Arguments<'_>)) {
        let Ok(policy) = Policy::builder().silence_limit(self.silence_limit).build() else {
            return;
        };
        let gap = self.longest_gap();
        match probe.check(&policy) {
            Ok(()) => {
                assert!(gap < self.silence_limit, "{:?}", self.silence_limit);
                note(format_args!("silence limit: taken"));
            }
            Err(error) => {
                assert!(gap >= self.silence_limit, "{error}");
                assert_eq!(error.knob(), "silence_limit");
                note(format_args!("silence limit: refused"));
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
            tls = tls.with_identity(cert.bytes.clone(), key.bytes.clone());
        }
        match &self.domain_name {
            Some(name) => tls.with_domain_name(name),
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

const PRESETS: [&str; 3] = ["default", "fast", "gentle"];

/// A knob that takes a time, and its milliseconds in each preset.
type Knob = (
    &'static str,
    fn(EtcdConfig, Duration) -> EtcdConfig,
    [u64; PRESETS.len()],
);

const KNOBS: [Knob; 16] = [
    (
        "progress_interval",
        EtcdConfig::with_progress_interval,
        [20_000, 250, 60_000],
    ),
    (
        "progress_grace_period",
        EtcdConfig::with_progress_grace_period,
        [3_350, 1_000, 6_000],
    ),
    (
        "read_interval",
        EtcdConfig::with_read_interval,
        [1_400, 1_000, 10_000],
    ),
    (
        "read_grace_period",
        EtcdConfig::with_read_grace_period,
        [3_350, 3_350, 6_000],
    ),
    (
        "write_interval",
        EtcdConfig::with_write_interval,
        [8_000, 3_000, 30_000],
    ),
    (
        "write_grace_period",
        EtcdConfig::with_write_grace_period,
        [3_350, 3_350, 6_000],
    ),
    (
        "recheck_interval",
        EtcdConfig::with_recheck_interval,
        [500, 250, 2_000],
    ),
    (
        "latency_budget",
        EtcdConfig::with_latency_budget,
        [1_000, 500, 1_000],
    ),
    (
        "request_timeout",
        EtcdConfig::with_request_timeout,
        [3_000, 2_000, 3_000],
    ),
    (
        "connect_timeout",
        EtcdConfig::with_connect_timeout,
        [2_000, 1_000, 3_000],
    ),
    (
        "election_timeout",
        EtcdConfig::with_election_timeout,
        [1_000; 3],
    ),
    (
        "reconnect_interval",
        EtcdConfig::with_reconnect_interval,
        [300, 250, 300],
    ),
    (
        "spare_reconnect_interval",
        EtcdConfig::with_spare_reconnect_interval,
        [5_000; 3],
    ),
    (
        "refused_interval",
        EtcdConfig::with_refused_interval,
        [60_000; 3],
    ),
    (
        "keepalive_interval",
        EtcdConfig::with_keepalive_interval,
        [10_000; 3],
    ),
    (
        "keepalive_timeout",
        EtcdConfig::with_keepalive_timeout,
        [5_000; 3],
    ),
];

fn preset(index: usize) -> [Duration; KNOBS.len()] {
    KNOBS.map(|(.., presets)| Duration::from_millis(presets[index]))
}

/// A bound that some number has, or what is next to it; or anything.
fn edge(bytes: &mut Unstructured<'_>) -> Result<Duration> {
    let bound = wild(bytes, BOUNDS)?;
    Ok(*bytes.choose(&beside(bound))?)
}

const BOUNDS: &[Duration] = &[
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(50),
    Duration::from_secs(600),
    Duration::ZERO,
    Duration::MAX,
];
