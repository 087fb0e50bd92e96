//! What becomes a failure by `?`, and with which class.

use std::error::Error;
use std::io;

use anyhow::Context as _;
use overwatch::machine::FailureClass;
use overwatch::{Classify, Failure};

/// The results that users have, each with an error.
fn of_anyhow() -> anyhow::Result<()> {
    Err(io::Error::other("no route")).context("reading the list")
}

fn of_boxed() -> Result<(), Box<dyn Error + Send + Sync>> {
    Err("boxed".into())
}

fn of_text() -> Result<(), String> {
    Err(format!("text {}", 1))
}

fn of_literal() -> Result<(), &'static str> {
    Err("literal")
}

fn of_io() -> io::Result<()> {
    Err(io::Error::other("no route"))
}

#[test]
fn a_question_mark_takes_errors_of_anyhow_boxed_errors_and_texts() {
    type Fails = fn() -> Result<(), Failure>;
    let all: [(Fails, &str); 5] = [
        (|| Ok(of_anyhow()?), "reading the list: no route"),
        (|| Ok(of_boxed()?), "boxed"),
        (|| Ok(of_text()?), "text 1"),
        (|| Ok(of_literal()?), "literal"),
        (|| Ok(of_io()?), "no route"),
    ];
    for (fails, text) in all {
        let failure = fails().expect_err("each fails");
        assert_eq!(failure.to_string(), text);
        assert_eq!(failure.class(), FailureClass::Component, "{text}");
    }
    // A failure stays the failure that it is.
    let classed = || -> Result<(), Failure> {
        of_text().critical()?;
        Ok(())
    };
    let failure = classed().expect_err("it fails");
    assert_eq!(failure.class(), FailureClass::Critical);
}

#[test]
fn each_of_these_results_can_be_classed() {
    for failure in [
        of_anyhow().dependency(),
        of_boxed().dependency(),
        of_text().dependency(),
        of_literal().dependency(),
        of_io().dependency(),
        Err(Failure::new("failure")).dependency(),
    ] {
        let failure = failure.expect_err("each fails");
        assert_eq!(failure.class(), FailureClass::Dependency, "{failure}");
    }
    let classes = [of_literal().critical(), of_anyhow().fatal()];
    let classes = classes.map(|failure| failure.expect_err("each fails").class());
    assert_eq!(classes, [FailureClass::Critical, FailureClass::Fatal]);
}

#[test]
fn the_error_that_a_failure_was_made_from_is_still_there() {
    let failure = Failure::from(io::Error::other("no route"));
    assert!(failure.error().is::<io::Error>());
    let boxed: Box<dyn Error + Send + Sync> = Box::new(io::Error::other("no route"));
    // Not one box in another.
    assert!(Failure::from(boxed).error().is::<io::Error>());
    let failure = Failure::from(of_anyhow().expect_err("it fails"));
    let source = failure.error().source().expect("the cause");
    assert!(source.is::<io::Error>());
}
