//! A monitor as a few bytes, for whoever keeps millions of them.

use core::time::Duration;

use super::Checked;
use super::monitor::{CleanRun, Mode, Monitor, Part};
use crate::machine::{Record, code, decode};
use crate::pack::{Packer, Unpacker};
use crate::policy::Blame;

impl Checked {
    /// Writes down all that tells relative ones of one plan apart.
    pub(crate) fn pack(&self, to: &mut Packer<'_>) {
        self.machine().pack(to);
        self.monitor().pack(to);
    }

    /// Becomes what was packed. The plan must be the same.
    pub(crate) fn unpack(&mut self, from: &mut Unpacker<'_>) {
        self.machine.unpack(from);
        self.twin.clone_from(&self.machine);
        self.monitor.unpack(from);
    }
}

impl Monitor {
    fn pack(&self, to: &mut Packer<'_>) {
        let known = &self.known;
        to.count(known.mode as u32 * 8 + code(known.wish));
        to.flags([
            known.session.is_some(),
            known.outage.is_some(),
            known.last_outage.is_some(),
            known.blame == Blame::Dependency,
            known.tripped,
            known.waits,
            known.clean.passed,
            known.outage.is_none() && !self.record.is_empty(),
        ]);
        to.count(known.level);
        to.count(known.suspicion);
        to.count(known.failed_starts);
        to.count(known.clean.alive);
        for timer in known.timers {
            to.time(timer);
        }
        to.time(known.clean.hold_off);
        to.time(Some(known.clean.held));
        to.time(known.unseen);
        to.time(known.lease);
        to.time(known.shutdown.map(|(by_clock, _)| by_clock));
        to.time(known.shutdown.map(|(_, budget)| budget));
        for part in &known.parts {
            to.count(*part as u32);
        }
    }

    fn unpack(&mut self, from: &mut Unpacker<'_>) {
        let known = &mut self.known;
        let wish = from.count();
        known.mode = [
            Mode::Idle,
            Mode::Starting,
            Mode::Ready,
            Mode::Delaying,
            Mode::Stopping,
            Mode::Ended,
        ][(wish / 8) as usize];
        known.wish = decode(wish % 8);
        let [
            session,
            outage,
            last_outage,
            dependency,
            tripped,
            waits,
            passed,
            told,
        ] = from.flags();
        (known.epoch, known.last_session, known.round) = (1, 1, 1);
        known.session = session.then_some(1);
        known.outage = outage.then_some(1);
        known.last_outage = last_outage.then_some(1);
        known.blame = if dependency {
            Blame::Dependency
        } else {
            Blame::Component
        };
        known.tripped = tripped;
        known.waits = waits;
        self.record = Record {
            reports: told.into(),
            ..Record::default()
        };
        known.level = from.count();
        known.suspicion = from.count();
        known.failed_starts = from.count();
        let alive = from.count();
        for timer in &mut known.timers {
            *timer = from.time();
        }
        known.clean = CleanRun {
            alive,
            hold_off: from.time(),
            held: from.time().unwrap_or(Duration::ZERO),
            passed,
        };
        known.unseen = from.time();
        known.lease = from.time();
        known.shutdown = from.time().zip(from.time());
        for part in &mut known.parts {
            *part = [
                Part::Down,
                Part::Starting,
                Part::Up,
                Part::Stopping,
                Part::Aborting,
                Part::Wedged,
            ][from.byte() as usize];
        }
    }
}
