//! The failure type.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::mem;
use std::sync::Mutex;

use super::error_text::text_of;
use crate::machine::FailureClass;
use crate::shell::log::discard;

/// What went wrong, and what is at fault.
///
/// `?` makes a failure from any error, from an `anyhow::Error`, from a boxed error that is `Send` and `Sync`, and from a
/// text: a `String` or a `&str`. So this type does not implement [`Error`] itself. A plain error blames the component;
/// [`dependency`](Self::dependency), [`critical`](Self::critical) and [`fatal`](Self::fatal) set another class.
/// [`Classify`] does the same on a `Result`.
/// [The guide](crate::guide::components#which-errors-to-return-and-which-to-handle-inside) has a table that shows
/// when to use which class.
///
/// What is shown of it, in the log, in the status and by `Display`, is one line of at most 4,096 bytes: the error and its
/// sources, without what was said already. Secrets that can be recognised, e.g. passwords in URLs and values with names like
/// `password` or `token`, are shown as `<hidden>`; [the guide](crate::guide::operating) has the list. [`error`](Self::error)
/// has the error itself.
///
/// ```
/// use overwatch::{Classify, Failure};
///
/// fn load() -> Result<(), Failure> {
///     // The component itself is at fault:
///     let port: u16 = "8080".parse()?;
///     // The same, with a text:
///     let name = Some("node-1").ok_or("no name is configured")?;
///     // The dependency is at fault:
///     std::net::TcpListener::bind(("127.0.0.1", 0)).dependency()?;
///     // No restart can mend it:
///     if port == 0 {
///         return Err(Failure::new("no port is configured").fatal());
///     }
///     Ok(())
/// }
/// # load().unwrap();
/// ```
pub struct Failure {
    class: FailureClass,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// A failure of the component itself, from a message or an error.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            class: FailureClass::Component,
            error: error.into(),
        }
    }

    /// Blames the dependency, which must then stay alive for the whole window.
    #[must_use]
    pub fn dependency(self) -> Self {
        self.with_class(FailureClass::Dependency)
    }

    /// Blames the dependency with certainty, e.g. for a lost lease: trips at once, whatever the threshold is.
    #[must_use]
    pub fn critical(self) -> Self {
        self.with_class(FailureClass::Critical)
    }

    /// Marks a failure that no restart can repair: everything is stopped in order, and the run ends with this error.
    #[must_use]
    pub fn fatal(self) -> Self {
        self.with_class(FailureClass::Fatal)
    }

    /// The class, which shows what is at fault.
    pub fn class(&self) -> FailureClass {
        self.class
    }

    /// The error that this failure was made from.
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }

    /// Whether no restart can repair it.
    pub(crate) fn is_fatal(&self) -> bool {
        self.class == FailureClass::Fatal
    }

    pub(crate) fn with_class(mut self, class: FailureClass) -> Self {
        self.class = class;
        self
    }

    /// The text. The `Display` of the error is user code: a panic in it must not reach the caller.
    pub(crate) fn text(&self) -> String {
        let words = |panic| Self::from_panic(panic).error.to_string();
        text_of(&*self.error, words)
    }

    /// A failure with the message of a panic.
    pub(crate) fn from_panic(payload: Box<dyn Any + Send>) -> Self {
        let message = match (
            payload.downcast_ref::<&str>(),
            payload.downcast_ref::<String>(),
        ) {
            (Some(message), _) => format!("panicked: {message}"),
            (_, Some(message)) => format!("panicked: {message}"),
            _ => "panicked".to_owned(),
        };
        // The payload is dropped with the failure, because its drop is user code.
        Self::new(Thrown {
            message,
            _payload: Mutex::new(payload),
        })
    }
}

/// The drop of an error is user code too: see `discard`.
impl Drop for Failure {
    fn drop(&mut self) {
        let error = mem::replace(&mut self.error, Box::new(Gone));
        discard(error);
    }
}

/// A panic as an error.
struct Thrown {
    message: String,
    /// Never read; the lock makes it `Sync`.
    _payload: Mutex<Box<dyn Any + Send>>,
}

impl fmt::Debug for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Thrown").field(&self.message).finish()
    }
}

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Thrown {}

/// The placeholder for an error that was moved out.
#[derive(Debug)]
struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("gone")
    }
}

impl Error for Gone {}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl fmt::Display for Failure {
    /// The error and its sources, joined by colons: one line of at most 4,096 bytes, in which secrets are hidden.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failure: {self}", self.class)
    }
}

/// Sets the class of a `Result`'s error. See [`Failure`].
///
/// ```
/// use overwatch::{Classify, Failure};
///
/// fn connect() -> Result<std::net::TcpStream, Failure> {
///     std::net::TcpStream::connect("127.0.0.1:1").dependency()
/// }
/// # assert!(connect().is_err());
/// ```
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
