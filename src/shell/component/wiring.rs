//! What a component can check when the service is built: its place, the plan, and the other components.

use std::any::Any;
use std::fmt;

use crate::policy::{ComponentId, Plan};

/// Where a component was added, under which plan, and beside which others. For
/// [`Component::check`](crate::Component::check).
///
/// ```
/// use overwatch::{Component, Context, Failure, Wiring, WiringError};
/// use std::any::Any;
///
/// struct Pool;
///
/// #[overwatch::async_trait]
/// impl Component for Pool {
///     async fn run(&self, ctx: Context) -> Result<(), Failure> {
///         ctx.mark_ready();
///         ctx.stopping().await;
///         Ok(())
///     }
///
///     fn as_any(&self) -> Option<&(dyn Any + Send + Sync)> {
///         Some(self) // others may look for it
///     }
/// }
///
/// struct Api;
///
/// #[overwatch::async_trait]
/// impl Component for Api {
/// #   async fn run(&self, _: Context) -> Result<(), Failure> { Ok(()) }
///     // ..
///     fn check(&self, wiring: &Wiring<'_>) -> Result<(), WiringError> {
///         let layout = wiring.plan().layout();
///         let is_below = |pool| layout.stage_of(pool) < Some(wiring.stage());
///         match wiring.find::<Pool>().any(|(pool, _)| is_below(pool)) {
///             true => Ok(()),
///             false => Err(WiringError::new("it needs a pool: add one in a stage before it")),
///         }
///     }
/// }
///
/// let builder = || overwatch::Overwatch::builder(overwatch::feed().1);
/// assert!(builder().component("pool", Pool).next_stage().component("api", Api).build().is_ok());
/// let error = builder().component("api", Api).build().unwrap_err();
/// assert_eq!(error.to_string(), r#"component "api": it needs a pool: add one in a stage before it"#);
/// ```
#[derive(Clone, Copy)]
pub struct Wiring<'a> {
    plan: &'a Plan,
    components: &'a [Added<'a>],
    id: ComponentId,
}

/// One component of the service: its name, and what others may look for.
pub(crate) struct Added<'a> {
    pub(crate) name: &'a str,
    pub(crate) part: Option<&'a (dyn Any + Send + Sync)>,
}

impl<'a> Wiring<'a> {
    pub(crate) fn new(plan: &'a Plan, components: &'a [Added<'a>], id: ComponentId) -> Self {
        Self {
            plan,
            components,
            id,
        }
    }

    /// The number of this component.
    pub fn id(&self) -> ComponentId {
        self.id
    }

    /// The name of this component.
    pub fn name(&self) -> &'a str {
        self.name_of(self.id).unwrap_or_default()
    }

    /// The stage of this component, from 0.
    pub fn stage(&self) -> usize {
        self.plan.layout().stage_of(self.id).unwrap_or_default()
    }

    /// The policy and the layout of the service.
    pub fn plan(&self) -> &'a Plan {
        self.plan
    }

    /// The name of a component, or `None` if there is no such component.
    pub fn name_of(&self, component: ComponentId) -> Option<&'a str> {
        let added = self.components.get(component.index());
        added.map(|added| added.name)
    }

    /// The components of this type, this one included, in the order of their stages.
    ///
    /// Only those are found that [`Component::as_any`](crate::Component::as_any) shows. So a closure is not.
    pub fn find<T: Any>(&self) -> impl Iterator<Item = (ComponentId, &'a T)> + use<'a, T> {
        let ids = (0..).map(ComponentId);
        let all = ids.zip(self.components);
        all.filter_map(|(id, added)| Some((id, added.part?.downcast_ref()?)))
    }
}

impl fmt::Debug for Wiring<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wiring")
            .field("name", &self.name())
            .field("stage", &self.stage())
            .finish_non_exhaustive()
    }
}

/// Why a component cannot work where it was added. From [`Component::check`](crate::Component::check).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WiringError(String);

impl WiringError {
    /// An error with this text: what is wrong, and what to do. The name of the component is added to it.
    pub fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

impl fmt::Display for WiringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WiringError {}
