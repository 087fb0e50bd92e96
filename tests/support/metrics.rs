//! What a server says of itself, and the kernel of it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Messages of all gRPC methods that the server has received: calls, and what is sent on open
/// streams.
pub async fn requests(address: &str) -> f64 {
    sum(&metrics(address).await, "grpc_server_msg_received_total")
}

/// Watchers on the server now.
pub async fn watchers(address: &str) -> u32 {
    let text = metrics(address).await;
    let watchers = sum(&text, "etcd_debugging_mvcc_watcher_total");
    let streams = sum(&text, "etcd_debugging_mvcc_watch_stream_total");
    (watchers + streams) as u32
}

/// User and system time of a process so far, in milliseconds.
pub fn cpu_ms(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The name, in brackets, may hold anything; utime and stime are the 12th and 13th after it.
    let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |field: usize| -> f64 { fields[field].parse().expect("a number") };
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    (ticks(11) + ticks(12)) * 1000.0 / per_second
}

/// All values of one metric together, whatever its labels.
fn sum(text: &str, name: &str) -> f64 {
    let of_name = |line: &&str| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
    };
    let lines: Vec<&str> = text.lines().filter(of_name).collect();
    assert!(!lines.is_empty(), "the server has no metric {name}");
    let value = |line: &&str| line.rsplit_once(' ').map(|(_, value)| value.parse::<f64>());
    let values = lines.iter().filter_map(value);
    values.map(|value| value.expect("a number")).sum()
}

async fn metrics(address: &str) -> String {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    let request = "GET /metrics HTTP/1.0\r\n\r\n";
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("it answers");
    text
}
