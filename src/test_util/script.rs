//! What a fake dependency does, and for how long: written by hand, or made by a fuzzer.

use std::time::Duration;

use tokio::time::sleep;

use super::dependency::FakeDependency;

/// What a [`FakeDependency`] does, and for how long.
///
/// Write one by hand, or let a fuzzer or a property test make it from [bytes](Self::from_bytes).
///
/// ```
/// use overwatch::test_util::{DependencyScript, FakeDependency};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let second = Duration::from_secs(1);
/// let dependency = FakeDependency::new();
/// DependencyScript::new()
///     .alive(40 * second)
///     .failing(3 * second)
///     .silent(20 * second)
///     .play(&dependency)
///     .await;
/// assert!(dependency.is_up()); // always so in the end
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DependencyScript(Vec<(DependencyMode, Duration)>);

/// What a [`FakeDependency`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DependencyMode {
    /// It is up.
    Alive,
    /// It fails.
    Failing,
    /// It gives no answer at all.
    Silent,
}

impl DependencyScript {
    /// A script in which nothing happens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a time in which the dependency is up.
    #[must_use]
    pub fn alive(self, time: Duration) -> Self {
        self.with(DependencyMode::Alive, time)
    }

    /// Adds a time in which the dependency fails.
    #[must_use]
    pub fn failing(self, time: Duration) -> Self {
        self.with(DependencyMode::Failing, time)
    }

    /// Adds a time in which the dependency gives no answer at all.
    #[must_use]
    pub fn silent(self, time: Duration) -> Self {
        self.with(DependencyMode::Silent, time)
    }

    fn with(mut self, mode: DependencyMode, time: Duration) -> Self {
        self.0.push((mode, time));
        self
    }

    /// Makes a script from any bytes: two for each step, and a last odd one is ignored.
    ///
    /// The first byte, modulo 3, is what the dependency does: it is up, fails, or is silent. The second one is for how long:
    /// 1 ms for 0, and (n + 1)² ms for n, up to 65.536 s. So there are blips as well as times that are longer than the
    /// default silence limit and the default window. The same bytes always give the same script, and smaller bytes a shorter
    /// one, so what a fuzzer or a property test makes smaller stays readable.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let (pairs, _) = bytes.as_chunks();
        let step = |&[mode, time]: &[u8; 2]| {
            let mode = match mode % 3 {
                0 => DependencyMode::Alive,
                1 => DependencyMode::Failing,
                _ => DependencyMode::Silent,
            };
            let root = u64::from(time) + 1;
            (mode, Duration::from_millis(root * root))
        };
        Self(pairs.iter().map(step).collect())
    }

    /// The steps, in order.
    pub fn steps(&self) -> &[(DependencyMode, Duration)] {
        &self.0
    }

    /// How long the whole script takes.
    pub fn duration(&self) -> Duration {
        let times = self.0.iter().map(|&(_, time)| time);
        times.fold(Duration::ZERO, Duration::saturating_add)
    }

    /// Plays the script, in the time that it takes. After it the dependency is up.
    pub async fn play(&self, dependency: &FakeDependency) {
        for &(mode, time) in &self.0 {
            match mode {
                DependencyMode::Alive => dependency.recover(),
                DependencyMode::Failing => dependency.fail("the script says so"),
                DependencyMode::Silent => dependency.hang(),
            }
            sleep(time).await;
        }
        dependency.recover();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_a_script() {
        let second = Duration::from_secs(1);
        let millis = Duration::from_millis;
        assert_eq!(DependencyScript::from_bytes(&[]), DependencyScript::new());
        assert_eq!(DependencyScript::from_bytes(&[9]), DependencyScript::new());
        let script = DependencyScript::from_bytes(&[0, 0, 4, 99, 255, 255, 2, 1, 1]);
        let expected = DependencyScript::new()
            .alive(millis(1))
            .failing(10 * second)
            .alive(millis(65_536))
            .silent(millis(4));
        assert_eq!(script, expected);
        assert_eq!(script.duration(), millis(1 + 10_000 + 65_536 + 4));
        assert_eq!(script.steps()[3], (DependencyMode::Silent, millis(4)));
    }
}
