//! The queue of the log: entries that wait to be written.

use std::any::Any;
use std::collections::VecDeque;

use crate::shell::step_record::Hook;

/// The most events that wait. Transitions may fill all of it.
const EVENTS: usize = 1024;
/// The most events that wait and are not transitions.
const OTHERS: usize = 768;
/// The most steps that wait for the hook, and the most effects of all of them together. One step
/// may have as many effects as a stage has components.
const STEPS: usize = 65_536;
const EFFECTS: usize = 1 << 20;
/// The most values that wait to be dropped. Further ones are leaked: a drop that blocks so many may block all.
const DISCARDED: usize = 4096;

/// The waiting entries, with counts of each kind.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) entries: VecDeque<Entry>,
    pub(crate) transitions: usize,
    pub(crate) others: usize,
    pub(crate) steps: usize,
    pub(crate) effects: usize,
    pub(crate) discarded: usize,
    pub(crate) lost: Lost,
    pub(crate) missed_steps: u64,
    pub(crate) hook: Option<Hook>,
    pub(crate) hook_panic: Option<Box<dyn Any + Send>>,
    /// Whether there is a writer, and whether it is writing an entry.
    pub(crate) has_writer: bool,
    pub(crate) writing: bool,
    /// Whether the writer must end when nothing is left.
    pub(crate) closed: bool,
}

/// How many events did not fit into the queue.
#[derive(Default)]
pub(crate) struct Lost {
    pub(crate) events: u64,
    pub(crate) transitions: u64,
}

/// Writes an event.
pub(crate) type Write = Box<dyn FnOnce() + Send>;

/// A step on its way to the hook.
pub(crate) struct QueuedStep {
    /// How many effects it has, which count for the limit.
    pub(crate) effects: usize,
    /// How many steps before it were dropped.
    pub(crate) missed: u64,
    pub(crate) read: Read,
}

/// Calls the hook with a step. The number is how many steps before it are missing.
pub(crate) type Read = Box<dyn FnOnce(u64, &mut Hook) + Send>;

pub(crate) enum Entry {
    Transition(Write),
    Event(Write),
    QueuedStep(QueuedStep),
    Discard(Box<dyn Any + Send>),
}

impl Queue {
    /// Adds an entry, and returns the entry for which there is no room.
    ///
    /// This is an older event if it makes room for a transition. Lost events and steps are counted. A value that is
    /// returned must be leaked.
    pub(crate) fn offer(&mut self, entry: Entry) -> Option<Entry> {
        let full = self.transitions + self.others >= EVENTS;
        let older = match &entry {
            Entry::Transition(_) if full => match self.take_oldest_event() {
                Some(event) => {
                    self.lost.events += 1;
                    Some(event)
                }
                None => {
                    self.lost.transitions += 1;
                    return Some(entry);
                }
            },
            Entry::Event(_) if full || self.others >= OTHERS => {
                self.lost.events += 1;
                return Some(entry);
            }
            Entry::Discard(_) if self.discarded >= DISCARDED => return Some(entry),
            _ => None,
        };
        self.push(entry);
        older
    }

    pub(crate) fn has_room_for_step(&self, effects: usize) -> bool {
        self.steps < STEPS && self.effects + effects <= EFFECTS
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        match &entry {
            Entry::Transition(_) => self.transitions += 1,
            Entry::Event(_) => self.others += 1,
            Entry::QueuedStep(step) => {
                self.steps += 1;
                self.effects += step.effects;
            }
            Entry::Discard(_) => self.discarded += 1,
        }
        self.entries.push_back(entry);
    }

    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        match &entry {
            Entry::Transition(_) => self.transitions -= 1,
            Entry::Event(_) => self.others -= 1,
            Entry::QueuedStep(step) => {
                self.steps -= 1;
                self.effects -= step.effects;
            }
            Entry::Discard(_) => self.discarded -= 1,
        }
        Some(entry)
    }

    pub(crate) fn take_oldest_event(&mut self) -> Option<Entry> {
        let is_event = |entry: &Entry| matches!(entry, Entry::Event(_));
        let place = self.entries.iter().position(is_event)?;
        self.others -= 1;
        self.entries.remove(place)
    }
}

impl Lost {
    pub(crate) fn any(&self) -> bool {
        self.events + self.transitions > 0
    }

    pub(crate) fn log(&self) {
        let Self {
            events,
            transitions,
        } = self;
        let lost = events + transitions;
        tracing::warn!(
            target: "overwatch::log",
            lost,
            transitions,
            "{lost} events were lost, {transitions} of them transitions: the subscriber is too slow"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Entry {
        Entry::Event(Box::new(|| {}))
    }

    fn transition() -> Entry {
        Entry::Transition(Box::new(|| {}))
    }

    #[test]
    fn transitions_are_the_last_to_be_lost() {
        let mut queue = Queue::default();
        for _ in 0..OTHERS + 5 {
            let _ = queue.offer(event());
        }
        assert_eq!((queue.others, queue.lost.events), (OTHERS, 5));
        // There is room left that only transitions may take.
        for _ in 0..EVENTS - OTHERS {
            assert!(queue.offer(transition()).is_none());
        }
        assert!(matches!(queue.offer(event()), Some(Entry::Event(_))));
        assert_eq!(queue.lost.events, 6);
        // Each further one takes the place of the oldest event.
        for lost in 1..=OTHERS {
            assert!(matches!(queue.offer(transition()), Some(Entry::Event(_))));
            assert_eq!(queue.lost.events, 6 + lost as u64);
        }
        assert_eq!((queue.transitions, queue.others), (EVENTS, 0));
        let refused = queue.offer(transition());
        assert!(matches!(refused, Some(Entry::Transition(_))));
        assert_eq!(queue.lost.transitions, 1);
        assert_eq!(queue.entries.len(), EVENTS);
    }

    #[test]
    fn what_is_taken_makes_room_in_order() {
        let mut queue = Queue::default();
        assert!(queue.offer(event()).is_none());
        assert!(queue.offer(transition()).is_none());
        assert!(matches!(queue.pop(), Some(Entry::Event(_))));
        assert!(matches!(queue.pop(), Some(Entry::Transition(_))));
        assert!(queue.pop().is_none());
        assert_eq!((queue.transitions, queue.others), (0, 0));
    }

    #[test]
    fn steps_and_values_have_room_of_their_own() {
        let mut queue = Queue::default();
        for _ in 0..DISCARDED {
            assert!(queue.offer(Entry::Discard(Box::new(()))).is_none());
        }
        assert!(queue.offer(Entry::Discard(Box::new(()))).is_some());
        assert!(queue.offer(event()).is_none());
        assert!(queue.has_room_for_step(EFFECTS));
        assert!(!queue.has_room_for_step(EFFECTS + 1));
        queue.steps = STEPS;
        assert!(!queue.has_room_for_step(0));
    }
}
