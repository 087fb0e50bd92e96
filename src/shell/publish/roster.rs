//! The components of a service, and what each of them is doing.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::machine::ComponentState;
use crate::policy::ComponentId;

/// How many names a text lists before it counts the rest.
pub(crate) const NAMES_LISTED: usize = 3;

/// All components of a service.
pub(crate) struct Roster {
    names: Vec<Arc<str>>,
    /// What each component is doing, for status pages: a [`ComponentState`] as a number.
    slots: Vec<AtomicU8>,
    /// For each component: whether its incarnation is not gone yet. The incarnations set this themselves.
    /// There is one flag each, so that they do not contend for one count.
    alive: Vec<AtomicBool>,
}

impl Roster {
    pub(crate) fn new(names: Vec<Arc<str>>) -> Self {
        let down = || AtomicU8::new(ComponentState::Down as u8);
        Self {
            slots: names.iter().map(|_| down()).collect(),
            alive: names.iter().map(|_| AtomicBool::new(false)).collect(),
            names,
        }
    }

    pub(crate) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    pub(crate) fn name(&self, component: ComponentId) -> &Arc<str> {
        &self.names[component.index()]
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ComponentId> + use<> {
        (0..self.names.len() as u32).map(ComponentId)
    }

    pub(crate) fn set_slot(&self, component: ComponentId, slot: ComponentState) {
        self.slots[component.index()].store(slot as u8, Ordering::Relaxed);
    }

    pub(crate) fn set_slots(&self, components: Range<u32>, slot: ComponentState) {
        for component in components.map(ComponentId) {
            self.set_slot(component, slot);
        }
    }

    pub(crate) fn component_state(&self, component: ComponentId) -> ComponentState {
        let slot = self.slots[component.index()].load(Ordering::Relaxed);
        let states = ComponentState::ALL.into_iter();
        let mut known = states.filter(|&state| state as u8 == slot);
        known.next().unwrap_or(ComponentState::Down)
    }

    pub(crate) fn set_alive(&self, component: ComponentId, alive: bool) {
        self.alive[component.index()].store(alive, Ordering::Release);
    }

    pub(crate) fn is_alive(&self, component: ComponentId) -> bool {
        self.alive[component.index()].load(Ordering::Acquire)
    }

    /// Whether any incarnation is not gone yet.
    pub(crate) fn any_alive(&self) -> bool {
        self.alive.iter().any(|alive| alive.load(Ordering::Acquire))
    }

    /// The names of the first few components in any of these states.
    pub(crate) fn listed(&self, slots: &[ComponentState]) -> String {
        Few::doing(self, slots).names(self)
    }
}

/// Some components: the first few of them, and how many there are. It allocates nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Few {
    first: [ComponentId; NAMES_LISTED],
    count: usize,
}

impl Few {
    /// The components in any of these states.
    pub(crate) fn doing(roster: &Roster, slots: &[ComponentState]) -> Self {
        let ids = roster.ids();
        Self::of(ids.filter(|&id| slots.contains(&roster.component_state(id))))
    }

    /// These components.
    pub(crate) fn of(components: impl Iterator<Item = ComponentId>) -> Self {
        let mut few = Self {
            first: [ComponentId(0); NAMES_LISTED],
            count: 0,
        };
        for id in components {
            if let Some(place) = few.first.get_mut(few.count) {
                *place = id;
            }
            few.count += 1;
        }
        few
    }

    pub(crate) fn count(self) -> usize {
        self.count
    }

    /// The first of them, if there are any.
    pub(crate) fn first(self) -> Option<ComponentId> {
        self.first.first().copied().filter(|_| self.count > 0)
    }

    pub(crate) fn names(self, roster: &Roster) -> String {
        let first = self.first.iter().take(self.count);
        let names: Vec<&str> = first.map(|&id| &**roster.name(id)).collect();
        match (names.len(), self.count) {
            (0, _) => "nothing".into(),
            (listed, count) if listed < count => {
                format!("{} and {} more", names.join(", "), count - listed)
            }
            _ => names.join(", "),
        }
    }
}
