//! Stops a service cleanly when the dependency it cannot live without goes away, and starts it
//! afresh once that dependency has proved itself.
//!
#![cfg_attr(feature = "shell", doc = "```no_run")]
#![cfg_attr(not(feature = "shell"), doc = "```text")]
//! use overwatch::{Overwatch, polled};
//! use std::time::Duration;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let second = Duration::from_secs(1);
//!     let database = polled(second, 2 * second, || async {
//!         tokio::net::TcpStream::connect("127.0.0.1:5432").await?;
//!         Ok(())
//!     });
//!     let service = Overwatch::builder(database)
//!         .task("scheduler", |ctx| async move {
//!             ctx.mark_ready();
//!             while ctx.sleep(Duration::from_secs(10)).await {
//!                 println!("one more job");
//!             }
//!             Ok(())
//!         })
//!         .build()?;
//!     service.run_until_signal().await?;
//!     Ok(())
//! }
//! ```
//!
//! # What it does
//!
//! A service that depends heavily on etcd, or on something else, half-works when that goes away:
//! leases lapse, watches hang, two nodes do the same job, and the health page still says 200. With
//! this crate embedded, the service
//!
//! 1. turns readiness off **first**;
//! 2. stops all its [components](Component), stage by stage and within deadlines, so that the node
//!    leaves its cluster and its work moves to other nodes;
//! 3. watches the dependency through a [`Probe`] until it was provably fine for a whole window (30 s
//!    by default): positive evidence, no error and no silence;
//! 4. starts everything as on a fresh start, in a new *epoch*, so that the node rejoins;
//! 5. logs each transition, and why.
//!
//! # Words
//!
//! | word | meaning |
//! | --- | --- |
//! | component | something the service starts and stops |
//! | epoch, incarnation | one run of all components; the number grows by one at each start |
//! | stage | components are started stage by stage, ascending, and stopped in reverse |
//! | dependency, probe | the outside thing the service cannot live without, and what observes it |
//! | report | a component's failure report; its class says whose trouble it is |
//! | trip | the decision to stop the world |
//! | outage | from a trip to the next Running; boot is outage 0 |
//! | clean run | alive observations with no failing one, no silence and no freeze between them |
//! | hold-off | how long a clean run must last before anything is started: the *window* if the dependency was to blame, the shorter *backoff* if only components failed or their runtime froze |
//! | level | how often it relapsed lately; the hold-off grows with it |
//! | fence | the instant by which work must have stopped because the lease that allowed it runs out |
//! | wedged | what survived its abort: only the end of the process ends it |
//!
//! # The states
//!
//! <!-- states: written from the machine by a test, not by hand -->
//! ```text
//! [*]          ──▶ Monitoring    boot
//! Running      ──▶ ShuttingDown  exited, failing, fence, frozen, report, silence
//!                                drain, shutdown, trip
//! ShuttingDown ──▶ Monitoring    all_gone
//!              ──▶ Drained       all_gone
//!              ──▶ Stopped       all_gone
//!              ──▶ Halted        fatal, gave_up, wedged
//! Monitoring   ──▶ Restarting    recovered
//!              ──▶ Drained       drain
//!              ──▶ Stopped       shutdown
//!              ──▶ Halted        failing, report fatal
//! Restarting   ──▶ Running       all_up
//!              ──▶ ShuttingDown  exited, failing, fence, frozen, report, silence, start_failed, start_overdue
//!                                drain, shutdown, trip
//! Drained      ──▶ Monitoring    resume
//!              ──▶ Stopped       shutdown
//!              ──▶ Halted        report fatal
//! Stopped      ──▶ [*]
//! Halted       ──▶ [*]
//! ```
//! <!-- end of states -->
//!
//! The words are the causes that [the trace](#the-trace) shows; it has `recovered` when a clean run
//! was as long as the hold-off, and at boot after one alive observation. Ready means Running, and
//! nothing else does. The same as a diagram, and what becomes of every input in every state:
//! [`states`].
//!
//! Every decision is taken by something pure, which does no I/O, reads no clock and draws no random
//! number. [`machine::Machine`] decides what is done; [`driver`] decides in which order the machine is
//! told what has happened. A thin shell brings to the driver what arrives, and carries out the effects.
//! So all decisions can be enumerated, fuzzed, simulated and replayed, and [`law::Monitor`] can judge any
//! run: a property test, a simulation, the real shell, a recorded log. The 20 laws are listed in [`law`].
//! In `etcd`, too, what decides is pure, and tested without a client.
//!
//! # What is proved, and what is not
//!
//! The machine is small enough to be visited whole. [`explore`] drives the real one, not a model of
//! it, through everything that a hostile world can do in every state it can get to: answers that are
//! lost, late, repeated, out of order or of another epoch; timers that fire at any moment, or on a
//! clock; reports, observations, commands and freezes of the runtime at any moment. The [laws](law)
//! judge every step, effects included. You can do the same with your own policy, in your own tests.
//!
//! **Proved**: the laws on every edge. And of each whole graph, not of paths up to some length: that
//! recovery (L6), the end after a shutdown (L7) and rest when nothing answers (L12) are inevitable
//! from every state, and that there is no hot loop (L13). How that is decided soundly on cycles stands
//! in [`explore`]. Of these plans, in all ways to put the components in stages:
//!
//! | components | in every test run | by `cargo run --release --example prove -- large` |
//! | --- | --- | --- |
//! | 0 to 1 | everything on or off, with a lease; without a clock and with one | every switch with every other; a clock four times as fine, with all on or off |
//! | 2 | the same; on a clock without the lease | every switch with every other without a clock; the lease on a clock; a finer clock with all off |
//! | 3 | all on or off without a lease; on a clock all off | all on, and the lease at either end, without a clock; all on or off on a clock |
//! | 4 | all off; on a clock in one stage | all on or off, and the lease at either end, without a clock; all off on a clock |
//! | 6 | | all off, in four ways of staging, without a clock and with one; in one stage on the finer clock |
//!
//! The switches are suspicion (a threshold above 1), the unready delay, giving up, growing hold-offs
//! with longer aborts and more evidence, and a lease. A test run takes 44 plans, 409,968 states and
//! 104.4 million edges; the large size
//! 231 plans, 5.4 million states and 1.7 billion edges.
//!
//! On a clock the longest is measured too, and it is never more than the deadlines on the way: for a
//! shutdown the unready delay, and for each stage its stop and its abort deadline; for recovery, once
//! the world is well, the unready delay, a stop deadline for each stage (or one abort deadline, if that
//! is longer), the silence limit, the longest hold-off (or as many silence limits as further
//! observations are needed), the silence limit again, and a start deadline for each stage.
//!
//! **How a proof could deceive, and what is done about it**
//!
//! | it could be that | but |
//! | --- | --- |
//! | a law never bites | a gallery of 86 broken machines is explored in the tests; each law is the first to catch one of them, and what is asked of the whole graph is shown to bite where the laws on single steps are waived |
//! | the explorer misses states | the plainest search there is finds as many, without a clock and with one; its compact states are read back and compared |
//! | what is made relative (epochs, sessions, outages, counts) mattered | a property test runs a machine in which it is made relative after every step beside one in which it never is |
//! | the search for endless paths is wrong | it is compared with the definition on 20,000 random graphs |
//! | machine and laws share a mistake | a reference written apart, in the plainest style, agrees on effects, transitions and the whole state; random tests and fuzzing drive both |
//! | a test would not notice a change | mutation testing of `machine`, `driver`, `policy` and `law` leaves no survivor that is not excused by name |
//!
//! **The driver.** The machine keeps its laws under any order of inputs, so whatever the driver picks is
//! safe. What recovery and the end rest on is that it is fair and invents nothing: what arrives is told
//! once, a component's reports before its end, a silence only if nothing was seen in time, and nothing
//! waits for ever. That is judged by rules of its own, on every edge of what can happen to a driver within
//! some moments, against a view of the machine that moves freely; beside a reference, a gallery of 42
//! broken drivers, and machine and driver together, for one and two components. Each run of the shell in the
//! tests is judged by the same rules, and taken again from what arrived.
//!
//! **Assumed.** For safety nothing: the world may do what it likes. For what is inevitable, weak
//! fairness: what could happen at every moment does happen at last. For recovery besides: components
//! do what they are told within their deadlines, the dependency is seen alive within every silence
//! limit and never failing, the lease is renewed in time, and the runtime does not freeze.
//!
//! **Not proved**
//!
//! - Larger plans. Random tests go to 8 components, and nothing in the machine tells the fifth
//!   component of a stage from the second, but that is an argument and no proof. Durations matter only
//!   by their order and sums; those explored are a few ticks.
//! - Jitter, which is left out; it only lengthens hold-offs.
//! - The shell: that what is due wakes it, that effects are carried out, that what arrives is brought to
//!   the driver. A test lists each of its lines that goes by where the machine is. It is tested on a paused clock with the same laws, and on a real etcd. Neither tokio nor
//!   the clock of the system is proved; a process that was frozen is late, and only the watchdog or a
//!   fencing token helps then.
//! - That an observation is true. A probe that says alive when the dependency is not is believed.
//!
//! # What follows from what
//!
//! - What a component may do, and what becomes of it: [`Component`].
//! - What a probe may do, and what becomes of it: [`Probe`].
//! - Every number, its default and its bounds: [`Policy`] and [`Tuning`].
//! - How to test your own components through an outage, without waiting: `test_util` (feature
//!   `test-util`).
//! - Health endpoints: `http` (feature `http`; `http-server` to answer from a thread of their own). A probe for etcd, and work that is
//!   shared among nodes: `etcd` (feature `etcd`).
//!
//! # Threads
//!
//! On the multi-thread runtime a run is supervised *apart*: the guard shares neither threads nor timers
//! nor the log with the service that it guards.
//!
//! | thread | made by | what runs there |
//! | --- | --- | --- |
//! | `overwatch` | each run | the supervisor: every decision, its timers, signals, the end of the process; no user code, but for wakers of executors that are not tokio's |
//! | `overwatch-log` | each run, when there is something to log; the process, for an `EtcdProbe` without a run | the `tracing` subscriber, the hook of [`Builder::on_step`], texts of errors that are to be logged and are not made yet, and drops of errors and of other values that are the user's |
//! | `overwatch-words`, `overwatch-exit` | a process that is about to be left | the last words; exit handlers |
//! | `overwatch-fence` | a run with a fence | the [watchdog](Builder::fence_watchdog) |
//! | `overwatch-etcd` | the process, when etcd is first used (feature `etcd`) | etcd's clients: the probe, renewals of leases |
//! | `overwatch-keys` | the process, with the first membership | copies of etcd's keys, which take long where there are many, and claims |
//! | `overwatch-http` | `http::serve` (feature `http-server`) | health answers |
//! | `overwatch-name`, `overwatch-etcd-b`, `overwatch-keys-b` | the process (feature `etcd`) | look-ups of names: 32 and twice 8 at most |
//! | `overwatch-probe` | each [`isolated`] probe | that probe |
//! | those of your runtime | you | components, sub-tasks, jobs, all other probes; the drops of all of these |
//! | the one that awaits the run | you | the drop of components and probe after the end |
//!
//! The text of an error (its `Display`) is made by the thread that reports it or ends with it, after the
//! supervisor was woken: it waits 50 ms at most for a text before it publishes a transition, and readiness
//! is off and components are told to stop before that.
//!
//! **What freezes what**
//!
//! | what | what follows |
//! | --- | --- |
//! | a component blocks its thread | that component alone. If its thread was the one that turns the timers of the runtime, another one takes that over within half of the silence limit, and 4 s at most |
//! | components block *all* threads of the runtime | the runtime is frozen: `Cause::Frozen`, see below. Timers, signals, `/livez` of `http::serve` and the fence go on |
//! | tasks keep all threads busy | observations and stops of components are late; [`Status::poll_delay`] says by how much, and a warning is logged from a tenth of the silence limit on. It trips nothing |
//! | the subscriber is slow, or blocks for good | events wait in a queue of 1,024, and what does not fit is counted and logged; transitions are the last to be lost. At the end the queue is waited for, 1 s at most |
//! | `on_step` is slow | 65,536 steps wait; how many are missing is told in [`StepRecord::missed`] |
//! | the process or its machine is stopped (SIGSTOP, a debugger, a paused virtual machine) | no freeze, and no silence of the dependency: the supervisor sees that it was late itself, and waits for a sign of life that much longer. It can tell only by a timer of its own, so up to a quarter of the silence limit (2 s at most) and 250 ms of a stop may count as silence; leave a probe that much room. A ready service is ready again at once. The fence, whose lease went on running out, is not excused |
//! | a waker of yours blocks, and it is no tokio task's | the supervisor, which wakes whoever waits for a status, a transition or a stop; with etcd the renewals too. tokio's own never do |
//!
//! **A frozen runtime.** Unless one of its workers has parked since the last look, the supervisor spawns a
//! task from outside, four to eight times in the silence limit and every 2 s at least, and sees it polled. The
//! runtime is frozen if that task waits for the whole silence limit, no metric of any worker moved, and the
//! supervisor itself was on time; or for a quarter of it when a probe that is polled there falls silent:
//! that silence says nothing of the dependency. If the runtime polls again by then, the probe has about
//! as much more time as it was not polled.
//! That trips with [`Cause::Frozen`](machine::Cause::Frozen), which blames no dependency. What thaws within
//! the stop and abort deadlines restarts like any outage; what does not is wedged, and the run is halted.
//! tokio publishes the metrics of a worker when it parks and every 61 polls. So tasks that hold *every*
//! worker for longer than a 61st of the silence limit in each of their polls look frozen too (where a probe
//! falls silent beside them: a 244th).
//!
//! **Only the end of the process ends** a thread that blocks for good. `run_or_exit` leaves the process
//! then, and the watchdog does so before a lease can run out.
//!
//! **In place.** On a runtime of one thread (`#[tokio::test]`, a paused clock, a simulated network, a small
//! tool), or with [`Builder::control_thread`]`(false)`, everything runs where the run is awaited: no thread
//! is made and no clock but tokio's is read. One component that blocks then freezes all of it, the
//! subscriber is called by the supervisor, after the effects of a step, and neither freezes nor pauses are
//! detected. With a lease, ask for a thread or for the watchdog.
//!
//! # How the process ends
//!
//! | what | exit |
//! | --- | --- |
//! | [`run_until_signal`](Overwatch::run_until_signal) and the first SIGTERM or SIGINT | an ordered stop, and it returns |
//! | the second signal, and each that comes after the run | at once, by the signal handler: 143 after SIGTERM, 130 after SIGINT |
//! | [`run_or_exit`](Overwatch::run_or_exit), and the run is halted | 1, within 2 s |
//! | the fence passes and components are alive (on unless [switched off](Builder::fence_watchdog)) | SIGABRT, within 0.1 s |
//!
//! Leaving needs no reader of stderr, stdout or the log, and no drop of anything. A thread that is blocked
//! for good ends only with the process, and the drop of a tokio runtime waits for it: with a lease use
//! `run_or_exit`.
//!
//! # The trace
//!
//! Each transition is one [`tracing`](https://docs.rs/tracing) event at the target
//! `overwatch::transition`: `error` for Halted, `warn` for a stop that nobody asked for, else `info`.
//! Its fields do not change within a major version:
//!
//! | field | type | meaning |
//! | --- | --- | --- |
//! | `from`, `to` | string | the states: `Running`, `ShuttingDown`, `Monitoring`, `Restarting`, `Drained`, `Stopped`, `Halted` |
//! | `cause` | string | `boot`, `report`, `exited`, `start_failed`, `start_overdue`, `failing`, `silence`, `fence`, `frozen`, `trip`, `drain`, `resume`, `shutdown`, `recovered`, `all_up`, `all_gone`, `wedged`, `gave_up` or `fatal` |
//! | `reason` | string | the cause in words, with the error or the observation that led to it |
//! | `component`, `class` | string, optional | whose failure it was, and its class: `component`, `dependency`, `critical` or `fatal` |
//! | `epoch` | integer | the epoch, after the transition |
//! | `outage` | integer | the number of the present outage, or of the last one |
//! | `spent_ms` | integer | how long the state that was left had lasted, in milliseconds |
//! | `observe_only` | bool | whether it only would have happened ([`Builder::observe_only`]) |
//! | `at_ms` | integer | when it happened, in milliseconds since the run began; it may be written later. All events of this crate have it |
//!
//! Further targets:
//!
//! | target | level | what |
//! | --- | --- | --- |
//! | `overwatch::outage` | info | an outage is over: `outage`, `lasted_ms`, `reports`, `stale_reports`, `failed_starts` |
//! | `overwatch::report` | warn | failure reports: `component`, `class`, `count`, `first`, `last` |
//! | `overwatch::component` | warn | a component ended with a failure: `component`, `failure`, `stopping`; also the span of each component: `name`, `epoch` |
//! | `overwatch::probe` | info, warn | the dependency turned alive or failing, or fails in another way: `alive`, `class` |
//! | `overwatch::etcd` | info, warn | which of etcd's endpoints can be used, when that changes; what a user may not check; what becomes of a membership, and of shards that fail |
//! | `overwatch::runtime` | warn | the service's runtime is busy (`delay_ms`), or polls again after it was frozen; the process did not run for a while (`stopped_ms`) |
//! | `overwatch::log` | warn | events were lost, because the subscriber is too slow: `lost`, and how many of them were `transitions` |
//! | `overwatch::end` | error | the process is being left |
//! | `overwatch::effect`, `overwatch::ignored` | debug | each effect; each input that was ignored, and `why` |
//!
//! # The map
//!
//! | module | what it holds | what it never imports |
//! | --- | --- | --- |
//! | [`policy`] | the numbers and the stages, and which of them cannot work | anything async, a clock, chance, I/O |
//! | [`machine`] | the states and what each does with each input | the same; only `core`, `std::collections`, `Arc` and `statig` |
//! | [`law`] | the laws, as a monitor over inputs and effects | the same, and the machine's insides |
//! | [`driver`] | in which order the machine is told what; what is coalesced; a dry run | the same as `machine` |
//! | [`explore`] | every situation of a plan, and what is inevitable | the same |
//! | `shell` (re-exported here) | components, probes, reports, status, the one loop | adapters |
//! | `http`, `etcd`, `test_util` | adapters | each other |
//!
//! The rule is enforced by a test. With no default features only the first five remain, and
//! `statig` is the only dependency.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
// Without the shell there is less to link to.
#![cfg_attr(not(feature = "shell"), allow(rustdoc::broken_intra_doc_links))]

pub mod driver;
pub mod explore;
pub mod law;
pub mod machine;
mod pack;
pub mod policy;
#[cfg(any(feature = "shell", test))]
mod pulse;

/// The states, and all that can happen in them: a diagram and a table.
///
/// They are written from the machine: a test [explores](explore) plans that between them switch on
/// everything, and fails if this page shows anything else.
#[cfg(doc)]
#[doc = include_str!("states.md")]
pub mod states {}

#[cfg(feature = "shell")]
mod shell;

#[cfg(feature = "test-util")]
pub mod test_util;

#[cfg(feature = "http")]
pub mod http;

// What it decides is tested without its client.
#[cfg(any(feature = "etcd", test))]
pub mod etcd;

pub use policy::{Fence, Policy, PolicyError, Tuning};

#[cfg(feature = "shell")]
pub use shell::*;

// The README's code compiles and runs, too.
#[cfg(all(doctest, feature = "etcd", feature = "test-util"))]
#[doc = include_str!("../README.md")]
struct Readme;
