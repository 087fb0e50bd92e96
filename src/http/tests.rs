//! `/livez` beside a supervisor that is polled, or not, by the test.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use tokio::time::{Instant, advance, timeout};
use tower::ServiceExt;

use super::live::{ANSWER_WITHIN, ASK_AGAIN_AFTER, MAX_WAITING};
use super::router;
use crate::{Feed, Handle, Overwatch, RunError};

/// Far more than are allowed to wait.
const MANY: usize = 10 * MAX_WAITING;

/// A service whose supervisor goes on only while the test polls it.
struct Supervised {
    handle: Handle,
    app: Router,
    run: Pin<Box<dyn Future<Output = Result<(), RunError>>>>,
    _feed: Feed,
}

impl Supervised {
    fn new() -> Self {
        let (feed, probe) = crate::feed();
        let service = Overwatch::builder(probe)
            .task("a", |ctx| async move {
                ctx.mark_ready();
                ctx.stopping().await;
                Ok(())
            })
            .build()
            .unwrap();
        let handle = service.handle();
        Self {
            app: router(handle.clone()),
            handle,
            run: Box::pin(service.run()),
            _feed: feed,
        }
    }

    /// Polls the supervisor beside this.
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            _ = &mut self.run => panic!("the run is over"),
        }
    }

    async fn live(&self) -> StatusCode {
        asked(self.app.clone()).await
    }

    /// Asks so many times at once, and returns how often it was answered with this code, at once and
    /// after some time. The supervisor is not polled.
    async fn flood(&self) -> Answers {
        let mut answers = Answers::default();
        let began = Instant::now();
        let mut waiting: Vec<_> = (0..MANY)
            .map(|_| Box::pin(asked(self.app.clone())))
            .collect();
        waiting.retain_mut(|asked| {
            match asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(StatusCode::OK) => answers.alive_at_once += 1,
                Poll::Ready(_) => answers.dead_at_once += 1,
                Poll::Pending => return true,
            }
            false
        });
        for asked in waiting {
            assert_eq!(asked.await, StatusCode::SERVICE_UNAVAILABLE);
            answers.dead_later += 1;
        }
        let took = began.elapsed();
        let limit = ANSWER_WITHIN..=ANSWER_WITHIN + Duration::from_millis(2);
        assert!(answers.dead_later == 0 || limit.contains(&took), "{took:?}");
        answers
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Answers {
    alive_at_once: usize,
    dead_at_once: usize,
    dead_later: usize,
}

async fn asked(app: Router) -> StatusCode {
    let request = Request::get("/livez").body(Body::empty()).unwrap();
    let answer: Response = app.oneshot(request).await.unwrap();
    answer.status()
}

#[tokio::test(start_paused = true)]
async fn livez_is_503_while_the_runtime_is_frozen() {
    let mut service = Supervised::new();
    let (app, handle) = (service.app.clone(), service.handle.clone());
    let work = async {
        assert!(!handle.is_frozen());
        assert_eq!(asked(app.clone()).await, StatusCode::OK);
        handle.set_frozen(true);
        assert!(handle.is_frozen());
        assert_eq!(asked(app.clone()).await, StatusCode::SERVICE_UNAVAILABLE);
        handle.set_frozen(false);
        assert_eq!(asked(app.clone()).await, StatusCode::OK);
    };
    service.beside(work).await;

    // Also if it freezes while the supervisor is asked.
    advance(ASK_AGAIN_AFTER).await;
    let app = service.app.clone();
    let mut asking = pin!(asked(app));
    let polled = asking
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    service.handle.set_frozen(true);
    let answer = service.beside(asking).await;
    assert_eq!(answer, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_livez_asks_the_supervisor_once_in_a_tenth_of_a_second() {
    let mut service = Supervised::new();
    let (app, handle) = (service.app.clone(), service.handle.clone());
    for questions in 1..=3 {
        let app = app.clone();
        let flood = async {
            // As many at once as may wait, then many in turn.
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..MAX_WAITING {
                tasks.spawn(asked(app.clone()));
            }
            let mut codes = tasks.join_all().await;
            for _ in 0..MANY {
                codes.push(asked(app.clone()).await);
            }
            assert!(codes.iter().all(|&code| code == StatusCode::OK));
        };
        service.beside(flood).await;
        assert_eq!(handle.answered(), questions);
        advance(ASK_AGAIN_AFTER).await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_flood_only_so_many_wait_for_a_supervisor_that_hangs() {
    let mut service = Supervised::new();
    let never_answered = Answers {
        dead_at_once: MANY - MAX_WAITING,
        dead_later: MAX_WAITING,
        ..Answers::default()
    };
    assert_eq!(service.flood().await, never_answered);

    // It answers, and hangs from then on.
    let app = service.app.clone();
    assert_eq!(service.beside(asked(app)).await, StatusCode::OK);
    let just_now = Answers {
        alive_at_once: MANY,
        ..Answers::default()
    };
    assert_eq!(service.flood().await, just_now);
    advance(ASK_AGAIN_AFTER).await;
    let a_while_ago = Answers {
        alive_at_once: MANY - MAX_WAITING,
        dead_later: MAX_WAITING,
        ..Answers::default()
    };
    assert_eq!(service.flood().await, a_while_ago);
    assert_eq!(service.flood().await, never_answered);

    // It goes on, and nothing is left of the flood.
    let app = service.app.clone();
    assert_eq!(service.beside(asked(app)).await, StatusCode::OK);
}

/// Who asks and gives up does not take the answer with it.
#[tokio::test(start_paused = true)]
async fn who_waits_for_livez_does_not_depend_on_who_asks() {
    let mut service = Supervised::new();
    let mut first = Box::pin(asked(service.app.clone()));
    let mut second = Box::pin(asked(service.app.clone()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert!(second.as_mut().poll(&mut cx).is_pending());
    drop(first);
    let began = Instant::now();
    assert_eq!(service.beside(second).await, StatusCode::OK);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_livez_is_answered_when_the_run_ends() {
    let mut service = Supervised::new();
    let app = service.app.clone();
    assert_eq!(service.beside(asked(app)).await, StatusCode::OK);
    advance(ASK_AGAIN_AFTER).await;
    let mut waiting = Box::pin(asked(service.app.clone()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    service.run = Box::pin(async { Ok(()) });
    // Far less than the supervisor has to answer.
    let code = timeout(Duration::from_millis(1), waiting).await.unwrap();
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    let code = timeout(Duration::from_millis(1), service.live()).await;
    assert_eq!(code.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
}
