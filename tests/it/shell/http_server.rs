//! The health endpoints from a thread of their own, asked over TCP as an orchestrator does it. In real
//! time, and on plain sockets, which no runtime can keep waiting.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use overwatch::http::{Server, serve};
use overwatch::machine::Phase;
use overwatch::test_util::FakeDependency;
use overwatch::{Handle, Overwatch};
use tokio::runtime::Builder;

use super::support::{Notes, policy, worker};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

const ANY_PORT: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// A service that is not run.
fn idle() -> Overwatch {
    crate::shell::replay::builder(FakeDependency::new().probe())
        .component("a", worker(&Notes::default(), "a"))
        .build()
        .unwrap()
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.local_addr()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that is answered to these bytes, up to the end of the connection.
fn say(server: &Server, bytes: &[u8]) -> String {
    let mut stream = connect(server);
    stream.write_all(bytes).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The answer to a GET, and its code.
fn get(server: &Server, path: &str) -> (u16, String) {
    let answer = say(
        server,
        format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
    );
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    (code.expect("an answer in HTTP"), answer)
}

fn code(server: &Server, path: &str) -> u16 {
    get(server, path).0
}

/// Asks until it is answered with this code.
fn until(server: &Server, path: &str, wanted: u16) {
    let began = Instant::now();
    while code(server, path) != wanted {
        assert!(began.elapsed() < PATIENCE, "{path} is not {wanted}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_address_that_is_taken_is_an_error_at_once() {
    let taken = TcpListener::bind(SocketAddr::from(ANY_PORT)).unwrap();
    let error = serve(taken.local_addr().unwrap(), idle().handle()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn it_needs_no_runtime_and_says_where_it_is() {
    let service = idle();
    let server = serve(ANY_PORT, service.handle()).unwrap();
    let address = server.local_addr();
    assert_eq!(address.ip(), Ipv4Addr::LOCALHOST);
    assert_ne!(address.port(), 0);
    assert!(format!("{server:?}").contains(&address.to_string()));
    let (code, answer) = get(&server, "/status/check");
    assert_eq!(code, 503);
    assert!(answer.contains("the run has not begun"), "{answer}");
    assert_eq!(self::code(&server, "/elsewhere"), 404);
}

#[test]
fn a_connection_is_for_one_request() {
    let service = idle();
    let server = serve(ANY_PORT, service.handle()).unwrap();
    let answer = say(
        &server,
        b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\nGET /readyz HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 503").count(), 1, "{answer}");
    let head = say(&server, b"HEAD /readyz HTTP/1.0\r\n\r\n");
    assert!(head.starts_with("HTTP/1.0 503"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn what_is_no_request_is_refused_and_harms_nobody() {
    let service = idle();
    let server = serve(ANY_PORT, service.handle()).unwrap();
    let answer = say(&server, b"\x16\x03\x01 no HTTP at all\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let mut too_long = connect(&server);
    // It may be refused before all is sent.
    let _ = too_long.write_all(b"GET /readyz HTTP/1.1\r\nX: ");
    let _ = too_long.write_all(&[b'x'; 16 * 1024]);
    let mut answer = Vec::new();
    let _ = too_long.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 503"));
    drop(connect(&server));
    assert_eq!(code(&server, "/readyz"), 503);
}

/// Each answer while the only thread of the service's runtime is blocked by a component.
#[test]
fn it_answers_while_the_runtime_is_blocked_and_after_the_end() {
    let forever = Duration::from_secs(600);
    let policy = policy()
        .window(Duration::from_millis(50))
        .silence_limit(forever)
        .stop_deadline(forever)
        .build()
        .unwrap();
    let dependency = FakeDependency::observed_every(Duration::from_millis(10));
    let (blocked, is_blocked) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let blocking = std::sync::Arc::new((blocked, released));
    let service = crate::shell::replay::builder(dependency.probe())
        .policy(policy)
        .task("blocks", move |ctx| {
            let blocking = std::sync::Arc::clone(&blocking);
            async move {
                ctx.mark_ready();
                if ctx.epoch() == 1 {
                    blocking.0.send(()).unwrap();
                    // Its sender is lost at the end of the test, however that ends.
                    let _ = blocking.1.lock().unwrap().recv();
                }
                ctx.stopping().await;
                Ok(())
            }
        })
        .build()
        .unwrap();
    let handle = service.handle();
    let server = serve(ANY_PORT, handle.clone()).unwrap();
    assert_eq!(code(&server, "/readyz"), 503);

    let run = thread::spawn(move || {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(service.run())
    });
    is_blocked.recv_timeout(PATIENCE).unwrap();
    until(&server, "/readyz", 200);
    assert_eq!(code(&server, "/livez"), 200);
    assert_eq!(code(&server, "/status/check"), 200);

    // It is told to stop, and does not: its thread is blocked still.
    handle.trip().unwrap();
    until(&server, "/readyz", 503);
    assert_eq!(code(&server, "/livez"), 200);
    let (_, answer) = get(&server, "/status/check");
    assert!(answer.contains(r#""phase":"ShuttingDown""#), "{answer}");
    assert!(
        answer.contains("to be gone within") && answer.contains("blocks"),
        "{answer}"
    );

    drop(release);
    until(&server, "/readyz", 200);
    assert_eq!(handle.status().epoch, 2);
    handle.shutdown();
    run.join().unwrap().unwrap();
    assert_eq!(handle.status().phase, Phase::Stopped);
    for path in ["/status/check", "/readyz", "/livez"] {
        assert_eq!(code(&server, path), 503, "{path}");
    }
}

/// How long the server waits for the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(5);

/// Of those that send nothing more the first has to go, and whoever comes after them is answered before
/// the time of any of them is up.
#[test]
fn slow_clients_keep_nobody_from_being_answered() {
    let service = idle();
    let server = serve(ANY_PORT, service.handle()).unwrap();
    let began = Instant::now();
    // More than are open at a time.
    let slow: Vec<_> = (0..160)
        .map(|_| {
            let mut stream = connect(&server);
            let head = b"GET /readyz HTTP/1.1\r\nSlow: ";
            stream.write_all(head).unwrap();
            stream
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(code(&server, "/readyz"), 503);
    }
    assert!(began.elapsed() < HEAD_WITHIN, "{:?}", began.elapsed());
    // In the end each of them has to go.
    for mut slow in slow {
        assert!(is_closed(slow.read_to_end(&mut Vec::new())));
    }
    assert!(began.elapsed() >= HEAD_WITHIN, "{:?}", began.elapsed());
    assert_eq!(code(&server, "/readyz"), 503);
}

fn is_closed(read: io::Result<usize>) -> bool {
    match read {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn dropping_it_frees_the_port() {
    let handle = idle().handle();
    let served = |handle: &Handle| {
        let server = serve(ANY_PORT, handle.clone()).unwrap();
        let held = connect(&server);
        let address = server.local_addr();
        assert_eq!(code(&server, "/readyz"), 503);
        drop(server);
        // The drop waits for a tenth of a second only, and this machine may be busy.
        let began = Instant::now();
        while TcpStream::connect(address).is_ok() {
            assert!(began.elapsed() < PATIENCE, "it still listens");
        }
        let again = serve(address, handle.clone()).unwrap();
        assert_eq!(code(&again, "/readyz"), 503);
        drop(held);
    };
    served(&handle);
    // In async code, too.
    for mut runtime in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(async { served(&handle) });
        let handle = handle.clone();
        let task = runtime.spawn(async move { served(&handle) });
        runtime.block_on(task).unwrap();
    }
}
