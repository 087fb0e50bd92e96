//! Packs a monitor into a few bytes, because the explorer keeps millions of monitors.

use core::time::Duration;

use super::Checked;
use super::monitor::{Activity, CleanRun, ComponentActivity, Monitor};
use crate::machine::{Record, code, decode};
use crate::pack::{Packer, Unpacker};
use crate::policy::Blame;

impl Checked {
    /// Writes everything in which two normalized values of one plan can differ.
    pub(crate) fn pack(&self, to: &mut Packer<'_>) {
        self.machine().pack(to);
        self.monitor().pack(to);
    }

    /// Restores a packed value. The plan must be the same.
    pub(crate) fn unpack(&mut self, from: &mut Unpacker<'_>) {
        self.machine.unpack(from);
        self.twin.clone_from(&self.machine);
        self.monitor.unpack(from);
    }
}

impl Monitor {
    fn pack(&self, to: &mut Packer<'_>) {
        let model = &self.model;
        to.count(model.mode as u32 * 8 + code(model.goal));
        to.flags([
            model.session.is_some(),
            model.outage.is_some(),
            model.last_outage.is_some(),
            model.blame == Blame::Dependency,
            model.tripped,
            model.waits,
            model.clean.passed,
            model.outage.is_none() && !self.record.is_empty(),
        ]);
        to.count(model.level);
        to.count(model.suspicion);
        to.count(model.failed_starts);
        to.count(model.clean.alive);
        for timer in model.timers {
            to.time(timer);
        }
        to.time(model.clean.hold_off);
        to.time(Some(model.clean.held));
        to.time(model.unseen);
        to.time(model.lease);
        to.time(model.shutdown.map(|(by_clock, _)| by_clock));
        to.time(model.shutdown.map(|(_, budget)| budget));
        for part in &model.parts {
            to.count(*part as u32);
        }
    }

    fn unpack(&mut self, from: &mut Unpacker<'_>) {
        let model = &mut self.model;
        let goal = from.count();
        model.mode = [
            Activity::Idle,
            Activity::Starting,
            Activity::Ready,
            Activity::Delaying,
            Activity::Stopping,
            Activity::Ended,
        ][(goal / 8) as usize];
        model.goal = decode(goal % 8);
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
        (model.epoch, model.last_session, model.round) = (1, 1, 1);
        model.session = session.then_some(1);
        model.outage = outage.then_some(1);
        model.last_outage = last_outage.then_some(1);
        model.blame = if dependency {
            Blame::Dependency
        } else {
            Blame::Component
        };
        model.tripped = tripped;
        model.waits = waits;
        self.record = Record {
            reports: told.into(),
            ..Record::default()
        };
        model.level = from.count();
        model.suspicion = from.count();
        model.failed_starts = from.count();
        let alive = from.count();
        for timer in &mut model.timers {
            *timer = from.time();
        }
        model.clean = CleanRun {
            alive,
            hold_off: from.time(),
            held: from.time().unwrap_or(Duration::ZERO),
            passed,
        };
        model.unseen = from.time();
        model.lease = from.time();
        model.shutdown = from.time().zip(from.time());
        for part in &mut model.parts {
            *part = [
                ComponentActivity::Down,
                ComponentActivity::Starting,
                ComponentActivity::Up,
                ComponentActivity::Stopping,
                ComponentActivity::Aborting,
                ComponentActivity::Wedged,
                ComponentActivity::Finished,
            ][from.byte() as usize];
        }
    }
}
