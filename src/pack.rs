//! Small numbers as bytes, and back: how an explored state is kept.

use core::time::Duration;

/// What [`Duration`]s are counted in, and where bytes are written to.
pub(crate) struct Packer<'a> {
    pub(crate) bytes: &'a mut Vec<u8>,
    pub(crate) tick: Duration,
    /// Whether all that was written could be told apart so far.
    pub(crate) fits: bool,
}

/// Reads what a [`Packer`] wrote, in the same order.
pub(crate) struct Unpacker<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) tick: Duration,
}

/// The most ticks that are told apart. The one above stands for no duration at all.
pub(crate) const MAX_TICKS: u16 = u16::MAX - 1;

impl Packer<'_> {
    pub(crate) fn count(&mut self, count: u32) {
        self.fits &= count <= u32::from(u8::MAX);
        self.bytes.push(count as u8);
    }

    pub(crate) fn flags<const N: usize>(&mut self, flags: [bool; N]) {
        let bits = flags
            .iter()
            .rev()
            .fold(0, |bits, &flag| bits << 1 | u8::from(flag));
        self.bytes.push(bits);
    }

    pub(crate) fn time(&mut self, time: Option<Duration>) {
        let ticks = time.map_or(u16::MAX, |time| {
            let ticks = nanos(time) / nanos(self.tick);
            self.fits &= ticks <= u64::from(MAX_TICKS) && nanos(time) == ticks * nanos(self.tick);
            ticks as u16
        });
        self.bytes.extend_from_slice(&ticks.to_le_bytes());
    }
}

/// No policy has a duration above a day, which fits a thousand times.
fn nanos(time: Duration) -> u64 {
    time.as_secs() * 1_000_000_000 + u64::from(time.subsec_nanos())
}

impl Unpacker<'_> {
    pub(crate) fn byte(&mut self) -> u8 {
        let (&first, rest) = self
            .bytes
            .split_first()
            .expect("as many bytes as were packed");
        self.bytes = rest;
        first
    }

    pub(crate) fn count(&mut self) -> u32 {
        u32::from(self.byte())
    }

    pub(crate) fn flags<const N: usize>(&mut self) -> [bool; N] {
        let bits = self.byte();
        core::array::from_fn(|place| bits >> place & 1 == 1)
    }

    pub(crate) fn time(&mut self) -> Option<Duration> {
        let ticks = u16::from_le_bytes([self.byte(), self.byte()]);
        (ticks != u16::MAX).then(|| self.tick * u32::from(ticks))
    }
}
