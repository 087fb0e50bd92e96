//! The knobs that are seldom changed.

use core::time::Duration;

use super::error::{PolicyError, in_range, in_range_count, in_range_or_zero};
use super::{MAX_COUNT, MAX_DURATION};

/// The knobs of a [`Policy`](super::Policy) that are seldom changed.
///
/// ```
/// use std::time::Duration;
/// use overwatch::{Policy, Tuning};
///
/// let policy = Policy::builder()
///     .tuning(Tuning::default().with_jitter_seed_from("node-7").with_unready_delay(Duration::from_secs(5)))
///     .build()?;
/// # Ok::<(), overwatch::PolicyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use = "a tuning does nothing until it is given to `PolicyBuilder::tuning`"]
pub struct Tuning {
    pub(super) backoff: Duration,
    pub(super) growth: u32,
    /// The value as set. Without it, the longest hold-off depends on the window and the backoff.
    max_hold_off: Option<Duration>,
    pub(super) max_level: u32,
    pub(super) min_evidence: u32,
    decay: Duration,
    stable_after: Duration,
    unready_delay: Duration,
    jitter: Duration,
    jitter_seed: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            backoff: Duration::from_secs(1),
            growth: 2,
            max_hold_off: None,
            max_level: 10,
            min_evidence: 3,
            decay: Duration::from_secs(60),
            stable_after: Duration::from_secs(60),
            unready_delay: Duration::ZERO,
            jitter: Duration::from_millis(250),
            jitter_seed: 0,
        }
    }
}

impl Tuning {
    /// The hold-off after an outage in which only components failed or their runtime froze. Default 1 s.
    pub fn with_backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }

    /// The factor by which each further level lengthens the hold-off, 1 to 10. Default 2.
    pub fn with_growth(mut self, factor: u32) -> Self {
        self.growth = factor;
        self
    }

    /// The longest hold-off before jitter. It must be at least the window and the backoff.
    ///
    /// Default 5 min, or the longer of window and backoff if that is more.
    pub fn with_max_hold_off(mut self, max: Duration) -> Self {
        self.max_hold_off = Some(max);
        self
    }

    /// The highest level, 1 to 1000. Default 10.
    pub fn with_max_level(mut self, max: u32) -> Self {
        self.max_level = max;
        self
    }

    /// How many alive observations a clean run needs after an outage that the dependency caused. Default 3.
    ///
    /// The clean run must have its full length as well.
    pub fn with_min_evidence(mut self, observations: u32) -> Self {
        self.min_evidence = observations;
        self
    }

    /// How long until one unit of suspicion is forgotten. Default 60 s.
    pub fn with_decay(mut self, decay: Duration) -> Self {
        self.decay = decay;
        self
    }

    /// How long the service must run until its level sinks by one. Default 60 s.
    pub fn with_stable_after(mut self, stable_after: Duration) -> Self {
        self.stable_after = stable_after;
        self
    }

    /// How long everything stays up, already not ready, after a shutdown or a drain is requested. Default 0: no delay.
    ///
    /// Load balancers can then see that the service is not ready before it refuses connections. With a
    /// [`Fence`](super::Fence) the lease is renewed during the delay. If renewals fail, the fence ends the delay: the
    /// stop begins early enough to end before the lease does. A failure of a component ends the delay too.
    pub fn with_unready_delay(mut self, delay: Duration) -> Self {
        self.unready_delay = delay;
        self
    }

    /// The most that jitter adds to a hold-off. Zero switches jitter off. Default 250 ms.
    ///
    /// Jitter keeps the nodes of a fleet from all starting at the same time.
    pub fn with_jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// The seed of the jitter, which should be different on each node. Default 0.
    pub fn with_jitter_seed(mut self, seed: u64) -> Self {
        self.jitter_seed = seed;
        self
    }

    /// Sets the seed from the name of the node: the FNV-1a hash of its bytes.
    ///
    /// The seed is the same on every platform and in every version.
    pub fn with_jitter_seed_from(self, name: &str) -> Self {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        self.with_jitter_seed(hash)
    }

    /// The base of the hold-off if only components failed. See [`with_backoff`](Self::with_backoff).
    pub fn backoff(&self) -> Duration {
        self.backoff
    }

    /// The factor by which each level lengthens the hold-off. See [`with_growth`](Self::with_growth).
    pub fn growth(&self) -> u32 {
        self.growth
    }

    /// The longest hold-off, if it was set. See [`with_max_hold_off`](Self::with_max_hold_off) for the default.
    pub fn max_hold_off(&self) -> Option<Duration> {
        self.max_hold_off
    }

    /// The least number of positive observations in a clean run. See [`with_min_evidence`](Self::with_min_evidence).
    pub fn min_evidence(&self) -> u32 {
        self.min_evidence
    }

    /// The seed of the jitter. See [`with_jitter_seed`](Self::with_jitter_seed).
    pub fn jitter_seed(&self) -> u64 {
        self.jitter_seed
    }

    /// The highest level that [`with_max_level`](Tuning::with_max_level) allows.
    pub fn max_level(&self) -> u32 {
        self.max_level
    }

    /// The longest hold-off before jitter, in a policy with this window.
    pub(super) fn longest_hold_off(&self, window: Duration) -> Duration {
        let default = Duration::from_secs(5 * 60);
        self.max_hold_off
            .unwrap_or_else(|| default.max(window).max(self.backoff))
    }

    /// How long until one unit of suspicion is forgotten.
    pub fn decay(&self) -> Duration {
        self.decay
    }

    /// How long the service must run until its level sinks by one.
    pub fn stable_after(&self) -> Duration {
        self.stable_after
    }

    /// How long a requested stop waits after readiness went off.
    pub fn unready_delay(&self) -> Duration {
        self.unready_delay
    }

    /// The most that jitter adds to a hold-off.
    pub fn jitter(&self) -> Duration {
        self.jitter
    }

    /// The time that jitter adds to the hold-off with this number.
    ///
    /// It is a pure function of seed and number, evenly spread from zero up to [`jitter`](Tuning::jitter), exclusive.
    pub fn jitter_of(&self, number: u64) -> Duration {
        // SplitMix64's finalizer: neighbouring numbers give unrelated values.
        let mut mixed = self
            .jitter_seed
            .wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // It may not have been checked yet that the jitter is at most a day.
        let most = self.jitter.min(MAX_DURATION);
        let nanos = (most.as_nanos() * u128::from(mixed)) >> 64;
        // Smaller than a day: it fits.
        Duration::from_nanos(nanos as u64)
    }

    pub(super) fn check(&self, window: Duration) -> Result<(), PolicyError> {
        in_range("backoff", self.backoff)?;
        in_range_count("growth", self.growth, 10)?;
        let longest = self.longest_hold_off(window);
        in_range("max_hold_off", longest)?;
        for (knob, least) in [("window", window), ("backoff", self.backoff)] {
            if longest < least {
                return Err(PolicyError::new(
                    "max_hold_off",
                    format!("{longest:?}"),
                    format!("it must be at least `{knob}`, which is {least:?}"),
                ));
            }
        }
        in_range_count("max_level", self.max_level, 1_000)?;
        in_range_count("min_evidence", self.min_evidence, MAX_COUNT)?;
        in_range("decay", self.decay)?;
        in_range("stable_after", self.stable_after)?;
        in_range_or_zero("unready_delay", self.unready_delay)?;
        if self.jitter > MAX_DURATION {
            return Err(PolicyError::new(
                "jitter",
                format!("{:?}", self.jitter),
                format!("it must be at most {MAX_DURATION:?}"),
            ));
        }
        Ok(())
    }
}
