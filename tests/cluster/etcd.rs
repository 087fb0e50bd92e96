//! The members of an etcd of our own, what is in it, and what it has counted.

mod backup;
mod vanished;

pub(crate) use backup::Backup;
pub(crate) use vanished::Vanished;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, GetOptions, Txn, TxnOp};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::leash::Leashed;

/// Longer than any answer takes of a member that is well.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const START_WITHIN: Duration = Duration::from_secs(20);
/// Between finding a free port and etcd's listening on it, anybody may take it.
const START_ATTEMPTS: u32 = 3;

/// One member on free loopback ports. Dropping it ends the process.
pub(crate) struct Member {
    binary: OsString,
    name: String,
    client_url: String,
    peer_url: String,
    /// `name=peer-url` of every member, comma-separated.
    cluster: String,
    dir: PathBuf,
    process: Option<Leashed>,
}

/// The etcd that is meant where none is named.
pub(crate) fn usual_binary() -> OsString {
    std::env::var_os("ETCD_BIN").unwrap_or_else(|| "etcd".into())
}

/// What the binary says of itself, such as `3.4.23`.
pub(crate) fn version(binary: &OsStr) -> Result<String, String> {
    let told = Command::new(binary).arg("--version").output();
    let told = told.map_err(|error| {
        format!(
            "cannot run {binary:?} ({error}): install etcd (apt-get install etcd-server), or name \
             the binary with --etcd"
        )
    })?;
    let text = String::from_utf8_lossy(&told.stdout);
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("etcd Version: "));
    let version = version.ok_or_else(|| format!("{binary:?} is no etcd: {:?}", text.trim()))?;
    Ok(version.to_owned())
}

impl Member {
    /// Starts a cluster of so many members and waits until each answers.
    pub(crate) async fn start(
        size: usize,
        binary: &OsStr,
        dir: &Path,
    ) -> Result<Vec<Self>, String> {
        let mut why = String::new();
        for attempt in 0..START_ATTEMPTS {
            let mut members = Self::laid_out(size, binary, &dir.join(format!("etcd{attempt}")))
                .map_err(|error| format!("no place for etcd: {error}"))?;
            match launch(&mut members).await {
                Ok(()) => return Ok(members),
                Err(error) => why = error,
            }
        }
        Err(format!("etcd did not start: {why}"))
    }

    fn laid_out(size: usize, binary: &OsStr, dir: &Path) -> std::io::Result<Vec<Self>> {
        // All are held until all are found, or one might be found twice.
        let listeners: Vec<TcpListener> = (0..2 * size)
            .map(|_| TcpListener::bind("127.0.0.1:0"))
            .collect::<Result<_, _>>()?;
        let urls: Vec<String> = listeners
            .iter()
            .map(|listener| Ok(format!("http://{}", listener.local_addr()?)))
            .collect::<std::io::Result<_>>()?;
        let (clients, peers) = urls.split_at(size);
        let cluster: Vec<String> = (0..size)
            .map(|index| format!("m{index}={}", peers[index]))
            .collect();
        let member = |index: usize| {
            let name = format!("m{index}");
            let dir = dir.join(&name);
            std::fs::create_dir_all(&dir)?;
            Ok(Self {
                binary: binary.to_owned(),
                name,
                client_url: clients[index].clone(),
                peer_url: peers[index].clone(),
                cluster: cluster.join(","),
                dir,
                process: None,
            })
        };
        (0..size).map(member).collect()
    }

    /// `host:port` of the client URL.
    pub(crate) fn address(&self) -> &str {
        self.client_url.trim_start_matches("http://")
    }

    /// SIGKILL; returns when the process is gone.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    pub(crate) fn signal(&mut self, signal: Signal) -> Result<(), String> {
        let process = self.process.as_mut().ok_or("etcd does not run")?;
        let signalled = process.signal(signal);
        signalled.map_err(|error| format!("etcd takes no signal: {error}"))
    }

    /// Starts it, if it does not run, with the data that it had.
    pub(crate) fn launch(&mut self) -> Result<(), String> {
        if self.process.is_some() {
            return Ok(());
        }
        let started = self.spawn();
        self.process = Some(started.map_err(|error| format!("etcd cannot be started: {error}"))?);
        Ok(())
    }

    /// Where its data is.
    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn spawn(&self) -> std::io::Result<Leashed> {
        let path = self.dir.join("log");
        let log = File::options().create(true).append(true).open(path)?;
        let mut arguments: Vec<OsString> = [
            ["--name", &self.name],
            ["--listen-client-urls", &self.client_url],
            ["--advertise-client-urls", &self.client_url],
            ["--listen-peer-urls", &self.peer_url],
            ["--initial-advertise-peer-urls", &self.peer_url],
            ["--initial-cluster", &self.cluster],
            ["--logger", "zap"],
            ["--log-level", "warn"],
        ]
        .into_iter()
        .flatten()
        .map(OsString::from)
        .collect();
        arguments.extend(["--data-dir".into(), self.data().into()]);
        Leashed::start(&self.binary, &arguments, &log, false)
    }

    /// Waits until it answers a linearizable read.
    async fn answering(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_WITHIN;
        loop {
            let process = self.process.as_mut().ok_or("it was killed")?;
            let ended = process.ended().map_err(|error| error.to_string())?;
            if let Some(status) = ended {
                return Err(format!("it ended with {status}; {}", self.log_tail()));
            }
            let asked = async { self.client().await?.get("answers", None).await };
            if matches!(timeout(ANSWER_WITHIN, asked).await, Ok(Ok(_))) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let tail = self.log_tail();
                return Err(format!("waited {START_WITHIN:?} for an answer; {tail}"));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// A client past all proxies.
    async fn client(&self) -> Result<Client, etcd_client::Error> {
        let options = ConnectOptions::new().with_connect_timeout(ANSWER_WITHIN);
        Client::connect([&self.client_url], Some(options)).await
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(10)..];
        format!("its log ends:\n{}", tail.join("\n"))
    }
}

/// Starts whoever does not run, and waits until all answer.
pub(crate) async fn launch(members: &mut [Member]) -> Result<(), String> {
    for member in &mut *members {
        member.launch()?;
    }
    answering(members).await
}

/// Waits until all answer.
pub(crate) async fn answering(members: &mut [Member]) -> Result<(), String> {
    for member in members {
        let answering = member.answering().await;
        answering.map_err(|why| format!("etcd's {}: {why}", member.name))?;
    }
    Ok(())
}

/// The member that leads.
pub(crate) async fn leader(members: &[Member]) -> Result<usize, String> {
    for (index, member) in members.iter().enumerate() {
        let asked = async { member.client().await?.status().await };
        let status = within(asked).await?;
        let id = status.header().map(|header| header.member_id());
        if id == Some(status.leader()) {
            return Ok(index);
        }
    }
    Err("no member of etcd leads".into())
}

/// What the nodes have written.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// By the members' names: their leases.
    pub(crate) members: BTreeMap<String, i64>,
    /// Who takes part: names, each with a lease.
    pub(crate) taking_part: Vec<(String, i64)>,
    /// By the shards' names: the owner and its lease. Without those that were released.
    pub(crate) claims: BTreeMap<String, (String, i64)>,
    /// All of them.
    pub(crate) all: Vec<String>,
}

impl Keys {
    /// Those under a prefix.
    pub(crate) async fn read(members: &[Member], prefix: &str, work: &str) -> Result<Self, String> {
        let member = members.first().ok_or("no etcd")?;
        let asked = async {
            let options = GetOptions::new().with_prefix();
            member.client().await?.get(prefix, Some(options)).await
        };
        let answer = within(asked).await?;
        let taking_part = format!("work/{work}/on/");
        let shards = format!("work/{work}/shard/");
        let mut keys = Self::default();
        for pair in answer.kvs() {
            let key = String::from_utf8_lossy(pair.key());
            let value = String::from_utf8_lossy(pair.value()).into_owned();
            let below = key.strip_prefix(prefix).unwrap_or(&key);
            if let Some(id) = below.strip_prefix("members/") {
                keys.members.insert(id.to_owned(), pair.lease());
            } else if let Some(name) = below.strip_prefix(&taking_part) {
                let (id, _) = name.rsplit_once('/').unwrap_or((name, ""));
                keys.taking_part.push((id.to_owned(), pair.lease()));
            } else if let Some(shard) = below.strip_prefix(&shards)
                && !value.is_empty()
            {
                keys.claims.insert(shard.to_owned(), (value, pair.lease()));
            }
            keys.all.push(key.into_owned());
        }
        Ok(keys)
    }
}

/// Takes a lease away.
pub(crate) async fn revoke(members: &[Member], lease: i64) -> Result<(), String> {
    let member = members.first().ok_or("no etcd")?;
    let asked = async { member.client().await?.lease_revoke(lease).await };
    within(asked).await.map(drop)
}

/// Deletes keys, all at once.
pub(crate) async fn delete(members: &[Member], keys: &[String]) -> Result<(), String> {
    let member = members.first().ok_or("no etcd")?;
    let deletes = keys.iter().map(|key| TxnOp::delete(&**key, None));
    let txn = Txn::new().and_then(deletes.collect::<Vec<_>>());
    let asked = async { member.client().await?.txn(txn).await };
    within(asked).await.map(drop)
}

async fn within<T>(
    asked: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, String> {
    match timeout(ANSWER_WITHIN, asked).await {
        Ok(answer) => answer.map_err(|error| format!("etcd: {error}")),
        Err(_) => Err(format!("etcd has not answered within {ANSWER_WITHIN:?}")),
    }
}

/// How often each method was called, of all members together; for the methods that stream, how many
/// messages came.
pub(crate) async fn counted(members: &[Member]) -> Result<BTreeMap<String, u64>, String> {
    let mut counted = BTreeMap::new();
    for member in members {
        let text = timeout(ANSWER_WITHIN, metrics(member.address())).await;
        let text = text.map_err(|_| "etcd has not told its metrics".to_owned())?;
        let text = text.map_err(|error| format!("etcd's metrics: {error}"))?;
        for (method, times) in text.lines().filter_map(calls) {
            *counted.entry(method).or_insert(0) += times;
        }
    }
    Ok(counted)
}

/// In HTTP/1.0, whose answers come in one piece.
async fn metrics(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// A line like `grpc_server_handled_total{grpc_code="OK",grpc_method="Txn",…} 12`.
pub(crate) fn calls(line: &str) -> Option<(String, u64)> {
    let (name, rest) = line.split_once('{')?;
    let (labels, value) = rest.split_once("} ")?;
    let label = |wanted: &str| {
        let mut pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(label, value)| (label == wanted).then(|| value.trim_matches('"')))
    };
    let is_unary = label("grpc_type")? == "unary";
    let counts = match name {
        "grpc_server_handled_total" => is_unary,
        "grpc_server_msg_received_total" => !is_unary,
        _ => false,
    };
    let value: f64 = value.trim().parse().ok()?;
    (counts && value >= 1.0).then(|| Some((label("grpc_method")?.to_owned(), value as u64)))?
}
