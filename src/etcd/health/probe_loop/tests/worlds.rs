//! The whole probe but its I/O, in made-up worlds: members come and go, hang and are refused, the process is frozen, the
//! probe is hurried, and other clients are led to another cluster.

use proptest::prelude::*;

use super::*;
use crate::etcd::probe::{Reconnect, Reply};
use crate::policy::Policy;

const LATENCY: Duration = Duration::from_millis(2);

/// How a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Up,
    Down,
    Silent,
}

fn modes() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Up), Just(Mode::Down), Just(Mode::Silent)]
}

/// What happens besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happening {
    Nothing,
    /// One more observation is wanted now.
    Hurry,
    /// The process does not run for so many milliseconds.
    Freeze(u64),
    /// Another client is led to another cluster by this endpoint.
    Split(usize),
}

fn happenings() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => Just(Happening::Nothing),
        1 => Just(Happening::Hurry),
        1 => (0_u64..8_000).prop_map(Happening::Freeze),
        1 => (0_usize..3).prop_map(Happening::Split),
    ]
}

/// Those that nobody is to warning in what is told of a healthy etcd.
fn harmless() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => Just(Happening::Nothing),
        1 => Just(Happening::Hurry),
        1 => (0_u64..8_000).prop_map(Happening::Freeze),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    /// Until something comes of it.
    Opening(Duration, Mode),
    Open,
}

struct Subchannel {
    mode: Mode,
    state: State,
    reconnect: Reconnect,
    /// Each with when it is answered, or given up.
    questions: Vec<(CheckRequest, bool, Duration, bool)>,
    lost: Option<EtcdError>,
    opened: Vec<Duration>,
}

struct World {
    probe_loop: Case,
    subchannels: Vec<Subchannel>,
    now: Duration,
    /// Until when the process does not run.
    frozen: Duration,
    /// When it was last hurried.
    hurried: Duration,
    /// Which checks were answered well since it was told failing, or hurried.
    proved: [bool; 3],
    alive: Option<Duration>,
    failing: Option<Duration>,
    /// Why it was told failing last.
    why: String,
}

impl World {
    fn new(modes: &[Mode]) -> Self {
        let mut probe_loop = probe_loop(modes.len());
        assert!(!probe_loop.resume(true, T0));
        let subchannel = |&mode: &Mode| Subchannel {
            mode,
            state: State::Closed,
            reconnect: Reconnect::new(&Timing::DEFAULT, T0),
            questions: Vec::new(),
            lost: None,
            opened: Vec::new(),
        };
        Self {
            probe_loop,
            subchannels: modes.iter().map(subchannel).collect(),
            now: T0,
            frozen: T0,
            hurried: T0,
            proved: [false; 3],
            alive: None,
            failing: None,
            why: String::new(),
        }
    }

    fn turns(&mut self, index: usize, mode: Mode) {
        let subchannel = &mut self.subchannels[index];
        if mode == Mode::Down && subchannel.state == State::Open {
            subchannel.close();
            subchannel.lost = Some(subchannel.reconnect.closed(EtcdError::closed(), self.now));
        }
        subchannel.mode = mode;
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Nothing => {}
            Happening::Freeze(time) => self.frozen = self.now + ms(time),
            Happening::Hurry => {
                // What was asked before was so at an earlier moment.
                self.now += Duration::from_nanos(1);
                (self.hurried, self.proved) = (self.now, [false; 3]);
                let orders = self.probe_loop.hurried(self.now);
                self.carry_out(&orders);
            }
            Happening::Split(index) => {
                let (index, now) = (index % self.subchannels.len(), self.now);
                self.probe_loop.clusters.saw(index, 2, now);
            }
        }
    }

    fn is_split(&self) -> bool {
        self.probe_loop
            .split(&self.probe_loop.clusters, self.now)
            .is_some()
    }

    /// As the probe does it. What was begun before a freeze goes on after it.
    fn goes_on(&mut self, until: Duration) {
        let until = until.max(self.frozen);
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < 100_000, "it spins");
            match self.probe_loop.says(self.now) {
                Some(Conclusion::Alive { .. }) => {
                    assert_eq!(self.proved, [true; 3], "alive without evidence");
                    assert!(!self.is_split(), "alive, of two clusters");
                    self.alive = Some(self.now);
                    continue;
                }
                Some(Conclusion::Failing { reason, fault, .. }) => {
                    assert!(!reason.is_empty());
                    assert_ne!(fault, Fault::StoreReset, "it is the same store");
                    if self.is_split() {
                        assert_eq!(fault, Fault::Misdirected);
                    }
                    // What was heard since it began to fail counts.
                    if self.failing <= self.alive {
                        self.proved = [false; 3];
                    }
                    self.failing = Some(self.now);
                    self.why = reason;
                    continue;
                }
                None => {}
            }
            let states = self.states();
            let orders = self.probe_loop.asks(&states, self.now);
            self.carry_out(&orders);
            for subchannel in &mut self.subchannels {
                subchannel.open_if_due(self.now);
            }
            let wake_at = self.probe_loop.wake_at(&self.states(), self.now);
            let events = self.subchannels.iter().filter_map(Subchannel::happens_at);
            let next = events.fold(wake_at, Duration::min);
            // While it is frozen nothing is noticed, and afterwards all at once.
            let next = next.max(self.frozen);
            if next > until {
                self.now = until;
                return;
            }
            self.now = self.now.max(next);
            self.probe_loop.woken(wake_at, self.now);
            let calm = self.probe_loop.model.is_calm(self.now);
            for index in 0..self.subchannels.len() {
                if let Some(event) = self.subchannels[index].happens(self.now, calm) {
                    if let SubchannelEvent::Answered(asked, answer) = &event
                        && !matches!(answer, Answer::Status { .. })
                        && asked.at >= self.hurried
                    {
                        self.proved[asked.kind as usize] = true;
                    }
                    let orders = self.probe_loop.happens(index, event, self.now);
                    self.carry_out(&orders);
                    break;
                }
            }
        }
    }

    fn states(&self) -> Vec<SubchannelState> {
        self.subchannels
            .iter()
            .map(|subchannel| subchannel.state(self.now))
            .collect()
    }

    fn carry_out(&mut self, orders: &[Order]) {
        for order in orders {
            match *order {
                Order::Hurry(index) => self.subchannels[index].reconnect.hurry(),
                Order::AskStatus(index, asked) => self.subchannels[index].ask(asked, true),
                Order::Ask(index, asked) => self.subchannels[index].ask(asked, false),
            }
        }
    }
}

impl Subchannel {
    fn close(&mut self) {
        self.state = State::Closed;
        self.questions.clear();
    }

    fn open_if_due(&mut self, now: Duration) {
        if self.state == State::Closed && self.lost.is_none() && self.reconnect.is_due(now) {
            self.reconnect.opening(now);
            self.opened.push(now);
            let takes = match self.mode {
                Mode::Up | Mode::Down => LATENCY,
                Mode::Silent => Timing::DEFAULT.connect_timeout,
            };
            self.state = State::Opening(now + takes, self.mode);
        }
    }

    fn ask(&mut self, asked: CheckRequest, is_status: bool) {
        let under_way = |(_, status, ..): &(CheckRequest, bool, Duration, bool)| *status;
        if self.state != State::Open || is_status && self.questions.iter().any(under_way) {
            return;
        }
        if !is_status {
            self.reconnect.asked(&asked);
        }
        let up = self.mode == Mode::Up;
        let at = match up {
            true => asked.at + LATENCY,
            false => self.reconnect.overdue_at(asked.at),
        };
        self.questions.push((asked, is_status, at, up));
    }

    fn state(&self, now: Duration) -> SubchannelState {
        let asked = |kind| {
            let of = |(asked, status, ..): &&(CheckRequest, bool, Duration, bool)| {
                !status && asked.kind == kind
            };
            self.questions.iter().filter(of).count()
        };
        SubchannelState {
            load: (self.state == State::Open).then(|| CheckKind::ALL.map(asked)),
            look_is_due: self.reconnect.look_is_due(now),
            wake_at: (self.state == State::Closed).then(|| self.reconnect.next_at()),
        }
    }

    fn happens_at(&self) -> Option<Duration> {
        if self.lost.is_some() {
            return Some(Duration::ZERO);
        }
        match self.state {
            State::Closed => None,
            State::Opening(at, _) => Some(at),
            State::Open => self.questions.iter().map(|(_, _, at, _)| *at).min(),
        }
    }

    fn happens(&mut self, now: Duration, calm: bool) -> Option<SubchannelEvent> {
        if let Some(cause) = self.lost.take() {
            return Some(SubchannelEvent::Lost(cause));
        }
        match self.state {
            State::Opening(at, mode) if at <= now => {
                let cause = match mode {
                    Mode::Up => {
                        self.state = State::Open;
                        self.reconnect.opened();
                        return Some(SubchannelEvent::Opened(Some(1)));
                    }
                    Mode::Down => refused(),
                    Mode::Silent => EtcdError::silent(),
                };
                self.state = State::Closed;
                self.reconnect.not_opened(&cause, calm, now);
                Some(SubchannelEvent::Lost(cause))
            }
            State::Open => {
                let due = self.questions.iter().position(|(_, _, at, _)| *at <= now)?;
                let (asked, is_status, _, up) = self.questions.remove(due);
                let answer = match (is_status, asked.kind) {
                    _ if !up => Err(EtcdError::silent()),
                    (true, _) => Ok(Answer::Status { leader: true }),
                    (_, CheckKind::Progress) => Ok(Answer::Progress),
                    (_, CheckKind::Read) => Ok(Answer::Read(STORE)),
                    (_, CheckKind::Write) => Ok(Answer::Write),
                };
                match self.reconnect.replied(&asked, is_status, answer, now) {
                    Reply::Answered(answer) => Some(SubchannelEvent::Answered(asked, answer)),
                    Reply::Nothing => None,
                    Reply::Failed { cause, kept } => {
                        if !kept {
                            self.close();
                            self.lost = Some(cause.clone());
                        }
                        Some(SubchannelEvent::Failed(asked, cause))
                    }
                }
            }
            _ => None,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// However it was before: silence is told within the longest gap, and what works again is alive soon after.
    #[test]
    fn silence_is_told_within_its_bound_and_so_is_recovery(
        first in prop::collection::vec(modes(), 1..4),
        turns in prop::collection::vec((0_usize..3, modes(), happenings(), 0_u64..6_000), 0..25),
        splits in any::<bool>(),
        later in prop::collection::vec((harmless(), 0_u64..12_000), 0..6),
    ) {
        let mut world = World::new(&first);
        for (index, mode, happening, wait) in turns {
            world.turns(index % first.len(), mode);
            match happening {
                Happening::Split(_) if !splits => {}
                happening => world.happens(happening),
            }
            world.goes_on(world.now + ms(wait));
        }
        let all = 0..first.len();
        let healed = world.now;
        all.clone().for_each(|index| world.turns(index, Mode::Up));
        // Another cluster may come to light only now. It has to be forgotten then, and at boot a window has to pass.
        let forgotten = Timing::DEFAULT.lately() + Policy::default().window();
        world.goes_on(healed + ms(8_000) + if splits { forgotten } else { ms(0) });
        prop_assert!(world.alive.is_some_and(|at| at > healed), "it is not alive again");
        let failing = world.failing;
        for (happening, wait) in later {
            world.happens(happening);
            world.goes_on(world.now + ms(wait));
        }
        world.goes_on(world.now + ms(60_000));
        prop_assert_eq!(world.failing, failing, "a healthy etcd is told failing: {}", world.why);
        prop_assert!(world.alive.is_some_and(|at| at + ms(2_200) > world.now));
        let silent = world.now;
        all.for_each(|index| world.turns(index, Mode::Silent));
        world.goes_on(silent + Timing::DEFAULT.longest_gap() + ms(1));
        let told = world.failing.filter(|&at| at > silent);
        prop_assert!(told.is_some(), "silence is not told");
        // An answer that was under way may still come, and no sooner than the grace period after it is it told.
        prop_assert!(told.is_some_and(|at| at >= silent + ms(3_350)), "it has no grace period");
        for subchannel in &world.subchannels {
            for three in subchannel.opened.windows(3) {
                prop_assert!(three[2] >= three[0] + ms(100), "a hot loop: {three:?}");
            }
        }
    }

    /// As long as one of them works nothing is told, whatever becomes of the others, but that no two of three hang at
    /// once: then etcd has no quorum. (Nor is the process frozen. A freeze that is too short to be excused takes its part
    /// of the grace period.)
    #[test]
    fn one_member_that_works_is_enough(
        others in prop::collection::vec(modes(), 1..3),
        turns in prop::collection::vec((0_usize..2, modes(), any::<bool>(), 0_u64..6_000), 0..40),
        works in 0_usize..3,
    ) {
        let mut modes = others.clone();
        if modes == [Mode::Silent; 2] {
            modes[0] = Mode::Down;
        }
        let works = works % (modes.len() + 1);
        modes.insert(works, Mode::Up);
        let mut world = World::new(&modes);
        for (index, mode, hurried, wait) in turns {
            let index = index % others.len();
            let index = index + usize::from(index >= works);
            // Also one that works again and nobody knows yet, since a knock from before is still unanswered.
            let hangs = |(at, subchannel): (usize, &Subchannel)| {
                let knocks = matches!(subchannel.state, State::Opening(_, Mode::Silent));
                at != index && (subchannel.mode == Mode::Silent || knocks)
            };
            let another_hangs = world.subchannels.iter().enumerate().any(hangs);
            let mode = match mode {
                Mode::Silent if another_hangs => Mode::Down,
                mode => mode,
            };
            world.turns(index, mode);
            if hurried {
                world.happens(Happening::Hurry);
            }
            world.goes_on(world.now + ms(wait));
        }
        world.goes_on(world.now + ms(5_000));
        prop_assert_eq!(world.failing, None, "{}", world.why);
        prop_assert!(world.alive.is_some());
    }

    /// Whoever sees it, and whatever else happens: two clusters are told at once, and nothing is alive before the
    /// other one is forgotten. Then it is soon.
    #[test]
    fn two_clusters_are_told_at_once_and_until_one_is_forgotten(
        size in 1_usize..4,
        index in 0_usize..3,
        begun in 0_u64..30_000,
        besides in prop::collection::vec((harmless(), 0_u64..2_000), 0..4),
    ) {
        let mut world = World::new(&vec![Mode::Up; size]);
        world.goes_on(T0 + ms(100 + begun));
        prop_assert!(world.alive.is_some() && world.failing.is_none());
        let split = world.now;
        world.happens(Happening::Split(index));
        world.goes_on(split);
        prop_assert_eq!(world.failing, Some(split));
        let lately = Timing::DEFAULT.lately();
        for (happening, wait) in besides {
            world.happens(happening);
            world.goes_on(world.now + ms(wait));
            prop_assert!(world.alive.is_none_or(|at| at <= split || at >= split + lately));
        }
        world.goes_on(world.now.max(split + lately - ms(1)));
        prop_assert!(world.alive.is_none_or(|at| at <= split || at >= split + lately));
        // What the endpoint itself has shown since may have put that off.
        world.goes_on(world.now + lately + ms(2_200));
        prop_assert!(world.alive.is_some_and(|at| at > split), "it is not alive again");
    }
}
