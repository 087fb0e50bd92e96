#![forbid(unsafe_code)]
//! Lesson 2: a probe for your own dependency.
//!
//! `cargo run --example 02_own_probe` observes a server that answers, answers nonsense, hangs, and recovers.
//!
//! - A probe returns positive evidence or a failure. The absence of errors is no evidence.
//! - It paces itself, and bounds how long it waits: both together must be shorter than the silence limit.
//! - A failure has a *class*: a short name that does not change, to alert on.
//! - A fatal failure is one that no restart can mend. The run ends with it, after an ordered stop.
//!
//! For less there is [`polled`](overwatch::polled), which makes a probe of a closure (lesson 3), and
//! [`feed`](overwatch::feed), for code that observes the dependency already.

mod server;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use overwatch::{Context, Failure, Observation, Overwatch, Policy, PolicyError, Probe};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use server::{Reply, Server};

/// How long a probe rests between two questions.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_millis(300);

/// Asks a server that speaks the protocol of Redis.
struct Ping {
    address: SocketAddr,
}

#[async_trait::async_trait]
impl Probe for Ping {
    // The call may be dropped at any `.await`: keep nothing across them that must not be lost.
    async fn observe(&self) -> Observation {
        sleep(INTERVAL).await;
        match timeout(PATIENCE, self.ping()).await {
            Ok(Ok(answer)) if answer == "+PONG" => Observation::alive("answered PING"),
            Ok(Ok(answer)) if answer.starts_with("-NOAUTH") => {
                Observation::failing("the server wants a password: set one, and start again")
                    .with_class("unauthenticated")
                    .fatal()
            }
            Ok(Ok(answer)) => {
                Observation::failing(format!("answered {answer:?} to PING")).with_class("nonsense")
            }
            Ok(Err(error)) => Observation::failing(error.to_string()).with_class("unreachable"),
            Err(_) => {
                Observation::failing(format!("no answer in {PATIENCE:?}")).with_class("hangs")
            }
        }
    }

    // Asked when the service is built: a probe that is too slow for the policy is refused.
    fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
        if INTERVAL + PATIENCE < policy.silence_limit() {
            return Ok(());
        }
        let limit = format!("{:?}", policy.silence_limit());
        Err(PolicyError::new(
            "silence_limit",
            limit,
            "a ping may take longer",
        ))
    }
}

impl Ping {
    async fn ping(&self) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).await?;
        Ok(answer.trim_end().to_owned())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::start().await?;
    let probe = Ping {
        address: server.address(),
    };
    let service = Overwatch::builder(probe).task("idle", idle).build()?;
    let handle = service.handle();
    let run = tokio::spawn(service.run());
    for reply in [Reply::Pong, Reply::Nonsense, Reply::Nothing, Reply::Pong] {
        server.set(reply);
        sleep(Duration::from_secs(1)).await;
        if let Some(seen) = handle.status().dependency {
            println!(
                "{reply:?}: alive: {}, {}",
                seen.alive == Some(true),
                seen.what
            );
        }
    }
    handle.shutdown();
    run.await??;
    Ok(())
}

async fn idle(ctx: Context) -> Result<(), Failure> {
    ctx.mark_ready();
    ctx.stopping().await;
    Ok(())
}
