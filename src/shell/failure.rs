//! The one failure type.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::machine::Class;

/// What went wrong, and whose trouble it is.
///
/// Made from any error by `?`, like `anyhow::Error` (which is why it does not implement
/// [`Error`] itself). A plain error is the component's own trouble; [`dependency`](Self::dependency),
/// [`critical`](Self::critical) and [`fatal`](Self::fatal) say otherwise. [`Classify`] does the same
/// on a `Result`.
///
/// ```
/// use overwatch::{Classify, Failure};
///
/// fn load() -> Result<(), Failure> {
///     // The component's own trouble:
///     let port: u16 = "8080".parse()?;
///     // The dependency's trouble:
///     std::net::TcpListener::bind(("127.0.0.1", 0)).dependency()?;
///     // Nothing that a restart could mend:
///     if port == 0 {
///         return Err(Failure::new("no port is configured").fatal());
///     }
///     Ok(())
/// }
/// # load().unwrap();
/// ```
pub struct Failure {
    class: Class,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// A failure of the component's own, from a message or an error.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            class: Class::Component,
            error: error.into(),
        }
    }

    /// Marks it as the dependency's trouble: the dependency is to blame and must prove itself for
    /// the whole window.
    #[must_use]
    pub fn dependency(self) -> Self {
        self.with_class(Class::Dependency)
    }

    /// Marks it as the dependency's trouble and certain, such as a lost lease: trips at once.
    #[must_use]
    pub fn critical(self) -> Self {
        self.with_class(Class::Critical)
    }

    /// Marks it as nothing that a restart could mend: everything is stopped in order and the run
    /// ends with this error.
    #[must_use]
    pub fn fatal(self) -> Self {
        self.with_class(Class::Fatal)
    }

    /// Whose trouble it is.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The error it was made from.
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }

    fn with_class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// What it says. The words are the user's code, which must not bring down who asks for them.
    pub(crate) fn text(&self) -> String {
        let text = catch_unwind(AssertUnwindSafe(|| self.to_string()));
        text.unwrap_or_else(|panic| format!("(its text {})", Self::from_panic(panic)))
    }

    /// What a panic says.
    pub(crate) fn from_panic(payload: Box<dyn std::any::Any + Send>) -> Self {
        let message = match (
            payload.downcast_ref::<&str>(),
            payload.downcast_ref::<String>(),
        ) {
            (Some(message), _) => format!("panicked: {message}"),
            (_, Some(message)) => format!("panicked: {message}"),
            _ => "panicked".to_owned(),
        };
        // Dropping a payload may panic in turn, and there is nobody left to tell.
        std::mem::forget(payload);
        Self::new(message)
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl fmt::Display for Failure {
    /// The error and all its sources, joined by colons.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)?;
        let mut source = self.error.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failure: {self}", self.class)
    }
}

/// Says on a `Result` whose trouble its error is. See [`Failure`].
pub trait Classify<T> {
    /// See [`Failure::dependency`].
    ///
    /// # Errors
    ///
    /// The error, classed.
    fn dependency(self) -> Result<T, Failure>;

    /// See [`Failure::critical`].
    ///
    /// # Errors
    ///
    /// The error, classed.
    fn critical(self) -> Result<T, Failure>;

    /// See [`Failure::fatal`].
    ///
    /// # Errors
    ///
    /// The error, classed.
    fn fatal(self) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> Classify<T> for Result<T, E> {
    fn dependency(self) -> Result<T, Failure> {
        self.map_err(|error| error.into().dependency())
    }

    fn critical(self) -> Result<T, Failure> {
        self.map_err(|error| error.into().critical())
    }

    fn fatal(self) -> Result<T, Failure> {
        self.map_err(|error| error.into().fatal())
    }
}
