//! A health endpoint, served and asked over TCP as the rest of the world does it.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Longer than any answer takes that is worth waiting for.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Where an HTTP server listens. Cheap to clone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint(pub SocketAddr);

impl Endpoint {
    /// A free port of the loopback interface, and what listens there.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub async fn bind() -> io::Result<(Self, TcpListener)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok((Self(listener.local_addr()?), listener))
    }

    /// Asks `/status/check`.
    ///
    /// # Errors
    ///
    /// If nobody answers, or not in HTTP.
    pub async fn check(self) -> io::Result<Answer> {
        self.get("/status/check").await
    }

    /// Sends one GET request.
    ///
    /// # Errors
    ///
    /// If nobody answers within five seconds, or not in HTTP.
    pub async fn get(self, path: &str) -> io::Result<Answer> {
        timeout(ANSWER_WITHIN, self.ask(path)).await?
    }

    async fn ask(self, path: &str) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(self.0).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {self}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        Answer::parse(&response).ok_or_else(|| io::Error::other(format!("no HTTP: {response:?}")))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an endpoint answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub code: u16,
    /// The body.
    pub body: String,
}

impl Answer {
    fn parse(response: &str) -> Option<Self> {
        let (head, body) = response.split_once("\r\n\r\n")?;
        let code = head.split(' ').nth(1)?.parse().ok()?;
        let body = body.to_owned();
        Some(Self { code, body })
    }

    /// A field of the body, if that is a JSON object with such a field, and a string.
    pub fn field(&self, name: &str) -> Option<String> {
        let body: serde_json::Value = serde_json::from_str(&self.body).ok()?;
        Some(body.get(name)?.as_str()?.to_owned())
    }
}

/// Serves a router until the task is aborted.
pub fn serve(listener: TcpListener, router: Router) -> tokio::task::JoinHandle<io::Result<()>> {
    tokio::spawn(async move { axum::serve(listener, router).await })
}
