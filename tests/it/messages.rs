//! What the compiler says of code that cannot work: it names what to write instead.
//!
//! Each program is compiled with the crate as it was built for these tests, and nothing is linked or run.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// Programs that are right. The last ones show what is still inferred.
const RIGHT: &str = r#"
    use overwatch::{Component, Context, Failure, Observation, Overwatch, Probe, no_dependency, polled};
    use std::time::Duration;

    struct A;

    #[overwatch::async_trait]
    impl Component for A {
        async fn run(&self, ctx: Context) -> Result<(), Failure> {
            ctx.mark_ready();
            Ok(())
        }
    }

    #[overwatch::async_trait]
    impl Probe for A {
        async fn observe(&self) -> Observation { Observation::alive("here") }
    }

    async fn work(_: Context) -> Result<(), Failure> { Ok(()) }

    pub fn builds() {
        let _ = Overwatch::builder(no_dependency())
            .component("a", A)
            .task("b", work)
            .task("c", |_| async { Ok(()) })
            .task("d", |_| async { Err("never".into()) })
            .task("e", |ctx| async move { loop { ctx.sleep(Duration::from_secs(1)).await; } })
            .task("f", |_| async { todo!() });
        let second = Duration::from_secs(1);
        let _ = polled(second, second, || async { Ok(()) });
        let _ = polled(second, second, || async { std::fs::read("a")?; Ok(()) });
    }
"#;

/// Each of these lacks the attribute. The compiler shows the line of the trait's method, which says so.
const WITHOUT_THE_ATTRIBUTE: &str = r#"
    use overwatch::{Component, Context, Failure, Observation, Probe, StartStop};

    struct A;

    impl Component for A {
        async fn run(&self, _: Context) -> Result<(), Failure> { Ok(()) }
    }

    impl StartStop for A {
        async fn start(&self, _: &Context) -> Result<(), Failure> { Ok(()) }
        async fn stop(&self, _: &Context) -> Result<(), Failure> { Ok(()) }
    }

    impl Probe for A {
        async fn observe(&self) -> Observation { Observation::alive("here") }
    }
"#;

/// Each of these functions is wrong in another way.
const WRONG: &str = r#"
    use overwatch::{Builder, Context};
    use std::io;
    use std::time::Duration;

    pub struct A;

    async fn work(_: Context) -> io::Result<()> { Ok(()) }
    async fn ping() -> io::Result<()> { Ok(()) }

    pub fn component(to: Builder) { let _ = to.component("a", A); }
    pub fn start_stop(to: Builder) { let _ = to.start_stop("a", A); }
    pub fn probe() { let _ = overwatch::Overwatch::builder(A); }
    pub fn error(to: Builder) { let _ = to.task("a", work); }
    pub fn nothing() { let _ = overwatch::component_fn(|ctx: Context| async move { ctx.mark_ready(); }); }
    pub fn check(second: Duration) { let _ = overwatch::polled(second, second, ping); }
"#;

/// The same with etcd.
#[cfg(feature = "etcd")]
const RIGHT_ETCD: &str = r#"
    pub fn shards(membership: &overwatch::etcd::Membership) {
        use overwatch::etcd::{Shard, Shards};
        async fn work(_: Shard) -> Result<(), overwatch::Failure> { Ok(()) }
        let _ = Shards::new(membership, "a", 8, work);
        let _ = Shards::new(membership, "b", 8, |_| async { Ok(()) });
        let _ = Shards::new(membership, "c", 8, |shard| async move { shard.check()?; Ok(()) });
        let _ = Shards::named(membership, "d", ["x"], |_| async { Err("never".into()) });
    }
"#;

#[cfg(feature = "etcd")]
const WRONG_ETCD: &str = r#"
    use overwatch::etcd::{Membership, Shard, Shards};
    use std::io;

    async fn work(_: Shard) -> io::Result<()> { Ok(()) }

    pub fn new(membership: &Membership) { let _ = Shards::new(membership, "a", 8, work); }
    pub fn named(membership: &Membership) {
        let _ = Shards::named(membership, "b", ["x"], |shard: Shard| async move { shard.stopping().await; });
    }
"#;

/// What the compiler says of them.
const SAYS: &[&str] = &[
    "`A` is not a component",
    "implement `overwatch::Component` for it, with `#[overwatch::async_trait]` on the `impl`",
    "a closure is added with `Builder::task`",
    "`A` has no start and stop",
    "implement `overwatch::StartStop` for it",
    "`A` is not a probe",
    "make one from a closure with `overwatch::polled`",
    "a service that depends on nothing has the probe `overwatch::no_dependency()`",
    WRONG_ERROR,
    NOTHING,
    "`?` makes a `Failure` from any error: let it return `Result<(), overwatch::Failure>`",
    "the check of a probe cannot return `Result<(), std::io::Error>`",
    "`?` makes a `Failure` from any error: end the check with `Ok(())`",
];

const WRONG_ERROR: &str = "a component or a shard returns `Result<(), overwatch::Failure>`, and not \
                           `Result<(), std::io::Error>`";
const NOTHING: &str =
    "a component or a shard returns `Result<(), overwatch::Failure>`, and not `()`";

#[cfg(feature = "etcd")]
#[test]
fn a_function_of_shards_with_a_wrong_result_is_refused_with_what_to_write_instead() {
    let said = compile(WRONG_ETCD, &library()).expect_err("nothing in it is right");
    for text in [WRONG_ERROR, NOTHING, "`?` makes a `Failure` from any error"] {
        assert!(said.contains(text), "no {text:?}:\n{said}");
    }
}

#[test]
fn what_cannot_work_is_refused_with_what_to_write_instead() {
    let library = library();
    let said = compile(WITHOUT_THE_ATTRIBUTE, &library).expect_err("the attribute is missing");
    let lines = said.matches("// The `impl` needs #[overwatch::async_trait]");
    assert_eq!(lines.count(), 4, "one for each method:\n{said}");

    let said = compile(WRONG, &library).expect_err("nothing in it is right");
    for text in SAYS {
        assert!(said.contains(text), "no {text:?}:\n{said}");
    }
}

/// The crate as it was built last, with the shell: what is right compiles with it.
fn library() -> PathBuf {
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder())
        .expect("where this test is")
        .flatten()
    {
        let name = entry.file_name().into_string().unwrap_or_default();
        if name.starts_with("liboverwatch-") && name.ends_with(".rlib") {
            let written = entry.metadata().and_then(|about| about.modified());
            found.push((written.expect("a time"), entry.path()));
        }
    }
    found.sort();
    let right = RIGHT.to_owned();
    #[cfg(feature = "etcd")]
    let right = right + RIGHT_ETCD;
    // Older ones may be of other features, or of another compiler.
    let mut said = String::new();
    while let Some((_, library)) = found.pop() {
        match compile(&right, &library) {
            Ok(()) => return library,
            Err(error) if said.is_empty() => said = error,
            Err(_) => {}
        }
    }
    panic!("what is right does not compile: {said}");
}

/// With this test are all libraries that it was built with.
fn folder() -> PathBuf {
    let test = env::current_exe().expect("this test");
    test.parent().expect("a folder").to_owned()
}

/// Compiles a library without its code. The error is all that the compiler says.
fn compile(code: &str, library: &Path) -> Result<(), String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libmessages.rmeta");
    let mut compiler = Command::new(rustc)
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "lib",
            "--crate-name",
            "messages",
        ])
        .args(["--emit", "metadata", "-A", "warnings", "--color", "never"])
        .arg("-L")
        .arg(format!("dependency={}", folder().display()))
        .arg("--extern")
        .arg(format!("overwatch={}", library.display()))
        .arg("-o")
        .arg(out)
        .arg("-")
        // The paths of the crate's sources begin here.
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the compiler");
    let mut stdin = compiler.stdin.take().expect("a pipe");
    stdin.write_all(code.as_bytes()).expect("it reads");
    drop(stdin);
    let output = compiler.wait_with_output().expect("it ends");
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
