//! A real etcd of the test's own, which can be killed, hung, restarted and wiped.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{
    Certificate, Client, ConnectOptions, Identity, Permission, PermissionType, TlsOptions,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::pki::{Pki, Signed};

/// One member on free loopback ports, with its data and log in a directory of its own. Dropping it
/// ends the process and removes the directory.
pub struct Etcd {
    dir: TempDir,
    layout: Layout,
    pki: Option<Arc<Pki>>,
    process: Option<Process>,
}

/// What a member's command line says.
#[derive(Clone)]
struct Layout {
    name: String,
    client_url: String,
    peer_url: String,
    /// `name=peer-url` of every member, comma-separated.
    initial_cluster: String,
    binary: OsString,
    /// Further arguments.
    more: Vec<String>,
}

/// Which etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The one on the path, or the one in the environment variable ETCD_BIN.
    V34,
    /// The one that `tests/matrix/etcd-3.5` fetches, or the one in ETCD35_BIN.
    V35,
}

impl Version {
    /// The version in short, such as `3.4`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V34 => "3.4",
            Self::V35 => "3.5",
        }
    }

    /// What the binary says of itself, such as `3.4.23`.
    pub fn told(self) -> String {
        let binary = self.binary();
        let told = Command::new(&binary).arg("--version").output();
        let told = told.unwrap_or_else(|error| panic!("{}", cannot_run(&binary, &error)));
        let text = String::from_utf8_lossy(&told.stdout);
        let version = text
            .lines()
            .find_map(|line| line.strip_prefix("etcd Version: "));
        version.expect("etcd tells its version").to_owned()
    }

    fn binary(self) -> OsString {
        if self == Self::V34 {
            return binary();
        }
        if let Some(given) = std::env::var_os("ETCD35_BIN") {
            return given;
        }
        let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let mut fetched = above.map(|dir| dir.join("target/etcd-3.5/etcd"));
        let fetched = fetched.find(|path| path.exists()).expect(
            "there is no etcd 3.5: run `bash tests/matrix/etcd-3.5`, or name the binary in the \
             environment variable ETCD35_BIN",
        );
        fetched.into()
    }
}

fn binary() -> OsString {
    std::env::var_os("ETCD_BIN").unwrap_or_else(|| "etcd".into())
}

impl Etcd {
    /// Starts a single member and waits until it answers.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// As [`start`](Self::start), over TLS, and for clients with a certificate only.
    pub async fn start_with_tls() -> Self {
        Self::start_with(Some(Pki::new())).await
    }

    /// As [`start_with_tls`](Self::start_with_tls), of this version.
    pub async fn start_version_with_tls(version: Version) -> Self {
        let pki = Some(Pki::new());
        let mut members = Self::start_members(1, &version.binary(), &[], pki).await;
        members.pop().expect("one member")
    }

    /// Starts a cluster of so many members and waits until each answers.
    pub async fn start_cluster(size: usize) -> Vec<Self> {
        Self::start_members(size, &binary(), &[], None).await
    }

    /// As [`start_cluster`](Self::start_cluster), of this version and with more arguments.
    pub async fn start_version(version: Version, size: usize, more: &[&str]) -> Vec<Self> {
        Self::start_members(size, &version.binary(), more, None).await
    }

    async fn start_with(pki: Option<Pki>) -> Self {
        let mut members = Self::start_members(1, &binary(), &[], pki).await;
        members.pop().expect("one member")
    }

    async fn start_members(
        size: usize,
        binary: &OsStr,
        more: &[&str],
        pki: Option<Pki>,
    ) -> Vec<Self> {
        let pki = pki.map(Arc::new);
        // Between finding a free port and etcd's listening on it, anybody may take it.
        let mut why = String::new();
        for _ in 0..START_ATTEMPTS {
            let scheme = if pki.is_some() { "https" } else { "http" };
            let layouts = Layout::of_cluster(size, scheme, binary, more);
            let mut members: Vec<Self> = layouts
                .into_iter()
                .map(|layout| Self::new(layout, pki.clone()))
                .collect();
            members.iter_mut().for_each(Self::launch);
            let mut answering = Ok(());
            for member in &mut members {
                answering = answering.and(member.answering().await);
            }
            match answering {
                Ok(()) => return members,
                Err(error) => why = error,
            }
        }
        panic!("etcd did not start: {why}");
    }

    fn new(layout: Layout, pki: Option<Arc<Pki>>) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("overwatch-etcd-")
            .tempdir()
            .expect("a directory for etcd");
        if let Some(pki) = &pki {
            pki.write_server_files(dir.path());
        }
        Self {
            dir,
            layout,
            pki,
            process: None,
        }
    }

    /// Its client URL.
    pub fn url(&self) -> &str {
        &self.layout.client_url
    }

    /// `host:port` of the client URL.
    pub fn address(&self) -> &str {
        let (_, address) = self.url().split_once("://").expect("a URL");
        address
    }

    /// The certificates in use; panics without TLS.
    pub fn pki(&self) -> &Pki {
        self.pki.as_ref().expect("etcd was started with TLS")
    }

    /// From now on it shows new clients this certificate.
    pub fn serve_certificate(&self, of: impl FnOnce(&Pki) -> &Signed) {
        // etcd reads the files anew for each handshake.
        of(self.pki()).write_as_servers(self.dir.path());
    }

    /// The process; panics if it was killed.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("etcd runs").0.id()
    }

    /// SIGKILL; returns when the process is gone.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGSTOP: sockets stay open, nobody answers.
    pub fn hang(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Starts it again, killed before if need be, with the same data and ports. Does not wait until
    /// it answers: see [`answering`](Self::answering).
    pub fn launch(&mut self) {
        self.kill();
        self.process = Some(Process::spawn(&self.layout, self.dir.path()));
    }

    /// [`launch`](Self::launch), then wait until it answers.
    pub async fn restart(&mut self) {
        self.run().await.expect("etcd starts again");
    }

    /// As [`restart`](Self::restart), but all data is lost.
    pub async fn wipe_and_restart(&mut self) {
        self.wipe_and_launch();
        self.answering().await.expect("etcd starts afresh");
    }

    /// As [`launch`](Self::launch), but all data is lost.
    pub fn wipe_and_launch(&mut self) {
        self.kill();
        let data = self.dir.path().join(DATA);
        std::fs::remove_dir_all(data).expect("etcd's data can be removed");
        self.launch();
    }

    /// Waits until it answers a linearizable read.
    pub async fn answering(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let process = self.process.as_mut().ok_or("etcd was killed")?;
            if let Some(status) = process.0.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("it ended with {status}; {}", self.log_tail()));
            }
            if answers(self.url(), self.options()).await {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(format!("no answer in {START_LIMIT:?}; {}", self.log_tail()));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// A plain client, for a test's own purposes.
    pub async fn client(&self) -> Client {
        Client::connect([self.url()], Some(self.options()))
            .await
            .expect("connecting is lazy")
    }

    fn options(&self) -> ConnectOptions {
        let options = ConnectOptions::new();
        let Some(pki) = &self.pki else {
            return options;
        };
        let identity = Identity::from_pem(&pki.client.cert_pem, &pki.client.key_pem);
        let authority = Certificate::from_pem(&pki.ca_pem);
        options.with_tls(
            TlsOptions::new()
                .ca_certificate(authority)
                .identity(identity),
        )
    }

    async fn run(&mut self) -> Result<(), String> {
        self.launch();
        self.answering().await
    }

    fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("etcd runs").signal(signal);
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join(LOG)).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(15)..];
        format!("its log ends:\n{}", tail.join("\n"))
    }
}

impl Layout {
    fn of_cluster(size: usize, scheme: &str, binary: &OsStr, more: &[&str]) -> Vec<Self> {
        let ports = free_ports(2 * size);
        let peer_url = |index: usize| format!("http://127.0.0.1:{}", ports[size + index]);
        let members: Vec<String> = (0..size)
            .map(|index| format!("m{index}={}", peer_url(index)))
            .collect();
        (0..size)
            .map(|index| Self {
                name: format!("m{index}"),
                client_url: format!("{scheme}://127.0.0.1:{}", ports[index]),
                peer_url: peer_url(index),
                initial_cluster: members.join(","),
                binary: binary.to_owned(),
                more: more.iter().map(|&argument| argument.to_owned()).collect(),
            })
            .collect()
    }
}

/// The process, ended by its own id when dropped.
struct Process(Child);

impl Process {
    fn spawn(layout: &Layout, dir: &Path) -> Self {
        let log = File::options()
            .create(true)
            .append(true)
            .open(dir.join(LOG))
            .expect("a log for etcd");
        let binary = &layout.binary;
        let mut command = Command::new(binary);
        if layout.client_url.starts_with("https") {
            command.current_dir(dir).args([
                "--client-cert-auth",
                "--trusted-ca-file=ca.pem",
                "--cert-file=server.pem",
                "--key-file=server-key.pem",
            ]);
        }
        let child = command
            .args(["--name", &layout.name])
            .arg("--data-dir")
            .arg(dir.join(DATA))
            .args(["--listen-client-urls", &layout.client_url])
            .args(["--advertise-client-urls", &layout.client_url])
            .args(["--listen-peer-urls", &layout.peer_url])
            .args(["--initial-advertise-peer-urls", &layout.peer_url])
            .args(["--initial-cluster", &layout.initial_cluster])
            .args(["--logger", "zap"])
            .args(&layout.more)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .spawn();
        match child {
            Ok(child) => Self(child),
            Err(error) => panic!("{}", cannot_run(binary, &error)),
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("etcd takes a signal");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL ends a stopped process, too. One that is already gone and waited for is left alone
        // by `kill`, so that nobody else's process is hit.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn cannot_run(binary: &OsStr, error: &io::Error) -> String {
    format!(
        "cannot run {binary:?} ({error}): install etcd (apt-get install etcd-server), or name the \
         binary in the environment variable ETCD_BIN"
    )
}

async fn answers(url: &str, options: ConnectOptions) -> bool {
    let asked = async {
        let mut client = Client::connect([url], Some(options)).await?;
        client.get("overwatch/test/answers", None).await
    };
    match timeout(Duration::from_secs(1), asked).await {
        Ok(Ok(_)) => true,
        // With authentication on, a refusal is an answer.
        Ok(Err(etcd_client::Error::GRpcStatus(status))) => {
            status.message().contains("user name is empty")
        }
        _ => false,
    }
}

/// Users `root`, who may do all, and `narrow`, who may do this below `app/` and nothing else. The
/// password of both is `right`.
pub async fn enable_auth(etcd: &Etcd, narrow: PermissionType) {
    let mut client = etcd.client().await;
    for name in ["root", "narrow"] {
        client.role_add(name).await.expect("a role");
        client.user_add(name, "right", None).await.expect("a user");
        client
            .user_grant_role(name, name)
            .await
            .expect("a role for the user");
    }
    let below_app = Permission::new(narrow, "app/").with_prefix();
    client
        .role_grant_permission("narrow", below_app)
        .await
        .expect("a permission");
    client
        .auth_enable()
        .await
        .expect("authentication can be switched on");
}

/// The member that leads.
pub async fn leader(members: &[Etcd]) -> usize {
    for (index, member) in members.iter().enumerate() {
        let status = member.client().await.status().await.expect("a status");
        let id = status.header().expect("a header").member_id();
        if status.leader() == id {
            return index;
        }
    }
    panic!("nobody leads");
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    free_ports(1)[0]
}

/// Different ports that were free a moment ago.
fn free_ports(count: usize) -> Vec<u16> {
    // All are held until all are found, or one might be found twice.
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a free loopback port"))
        .collect();
    listeners
        .iter()
        .map(|listener| listener.local_addr().expect("an address").port())
        .collect()
}

const DATA: &str = "data";
const LOG: &str = "etcd.log";
const START_ATTEMPTS: u32 = 3;
const START_LIMIT: Duration = Duration::from_secs(20);
