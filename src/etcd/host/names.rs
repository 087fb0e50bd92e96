//! Looks up names before a client does, so that a resolver that never answers does little harm.
//!
//! Only a bounded number of threads waits for the resolver, and it delays neither the end of a runtime nor that of the
//! process. The client library looks up a name on a blocking thread of its runtime, without a timeout: a look-up that
//! waits for a thread stays in a queue, and a runtime waits for its blocking threads at its end. So a
//! client is only made for a name that the resolver has just resolved. (When a client connects again,
//! the library looks up the name itself, on the few blocking threads of our own runtimes.)

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Mutex;
use std::thread;

use tokio::sync::watch;

use crate::shell::sync::lock;

/// The name that must be looked up for this URL; `None` if its host is an address.
pub(crate) fn name_of(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let host = uri.host()?;
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<IpAddr>() {
        Ok(_) => None,
        Err(_) => Some(host.to_owned()),
    }
}

/// The look-ups of the process.
pub(crate) static NAMES: Names = Names::new(resolve);

/// The pending look-ups: at most one for each name, and a bounded number of names.
pub(crate) struct Names {
    resolve: fn(&str) -> io::Result<()>,
    under_way: Mutex<BTreeMap<String, watch::Receiver<Option<Resolved>>>>,
}

/// The result. An `io::Error` cannot be cloned, so this has its kind and its text.
type Resolved = Result<(), (ErrorKind, String)>;

impl Names {
    const fn new(resolve: fn(&str) -> io::Result<()>) -> Self {
        Self {
            resolve,
            under_way: Mutex::new(BTreeMap::new()),
        }
    }

    /// Waits until the resolver has answered for this name.
    ///
    /// Calls for the same name share one look-up. If the call is dropped, its thread remains until the resolver gives
    /// up.
    ///
    /// # Errors
    ///
    /// The error of the resolver. Also if too many names are being looked up, or there is no thread.
    pub(crate) async fn look_up(&'static self, name: &str) -> io::Result<()> {
        let mut answer = self.begin(name)?;
        let answer = match answer.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone(),
            Err(_) => None,
        };
        match answer {
            Some(Ok(())) => Ok(()),
            Some(Err((kind, text))) => Err(io::Error::new(kind, text)),
            None => Err(io::Error::other("the look-up of the name came to no end")),
        }
    }

    fn begin(&'static self, name: &str) -> io::Result<watch::Receiver<Option<Resolved>>> {
        let (tell, answer) = watch::channel(None);
        {
            let mut under_way = lock(&self.under_way);
            if let Some(answer) = under_way.get(name) {
                return Ok(answer.clone());
            }
            if under_way.len() >= MOST {
                let text = format!("{MOST} names are being looked up already");
                return Err(io::Error::new(ErrorKind::WouldBlock, text));
            }
            under_way.insert(name.to_owned(), answer.clone());
        }
        let look_up = LookUp {
            names: self,
            name: name.to_owned(),
            tell,
        };
        // Not a blocking thread of a runtime, because the runtime would wait for it at its end. If there is no
        // thread, the look-up is dropped.
        let thread = thread::Builder::new().name("overwatch-name".into());
        thread.spawn(move || look_up.run())?;
        Ok(answer)
    }
}

/// A pending look-up, until it is dropped.
struct LookUp {
    names: &'static Names,
    name: String,
    tell: watch::Sender<Option<Resolved>>,
}

impl LookUp {
    fn run(self) {
        let answer = (self.names.resolve)(&self.name);
        let answer = answer.map_err(|error| (error.kind(), error.to_string()));
        self.tell.send_replace(Some(answer));
    }
}

impl Drop for LookUp {
    fn drop(&mut self) {
        lock(&self.names.under_way).remove(&self.name);
    }
}

fn resolve(name: &str) -> io::Result<()> {
    match (name, 0).to_socket_addrs()?.next() {
        Some(_) => Ok(()),
        None => Err(io::Error::new(
            ErrorKind::NotFound,
            "the name has no address",
        )),
    }
}

/// A configuration has at most 32 endpoints.
const MOST: usize = 32;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn only_names_are_looked_up() {
        for (url, name) in [
            ("http://127.0.0.1:2379", None),
            ("https://[::1]:2379", None),
            ("http://etcd-1:2379", Some("etcd-1")),
            ("https://etcd.example.org:2379", Some("etcd.example.org")),
        ] {
            assert_eq!(name_of(url).as_deref(), name, "{url}");
        }
    }

    #[tokio::test]
    async fn a_resolver_that_hangs_takes_one_thread_for_each_name_and_a_bounded_number() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        static ANSWERS: AtomicBool = AtomicBool::new(false);
        static HANGING: Names = Names::new(|_| {
            ASKED.fetch_add(1, Ordering::AcqRel);
            while !ANSWERS.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        });
        for _ in 0..10 {
            for name in 0..100 {
                let name = format!("name-{name}");
                let look_up = HANGING.look_up(&name);
                match timeout(Duration::from_millis(1), look_up).await {
                    Ok(answer) => {
                        assert_eq!(answer.expect_err("it hangs").kind(), ErrorKind::WouldBlock)
                    }
                    Err(_hangs) => {}
                }
            }
        }
        assert!(ASKED.load(Ordering::Acquire) <= MOST);
        assert_eq!(lock(&HANGING.under_way).len(), MOST);
        let waiting = HANGING.look_up("name-0");
        ANSWERS.store(true, Ordering::Release);
        let answer = timeout(SOON, waiting).await;
        answer.expect("it answers").expect("it is known");
        let all_over = async {
            while !lock(&HANGING.under_way).is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(SOON, all_over).await.expect("nothing is left");
        let more = timeout(SOON, HANGING.look_up("name-99")).await;
        more.expect("it answers").expect("it is known");
    }

    #[tokio::test]
    async fn what_the_resolver_says_is_passed_on_and_a_panic_in_it_is_an_error() {
        static NAMES: Names = Names::new(|name| match name {
            "unknown" => Err(io::Error::new(ErrorKind::NotFound, "no such name")),
            _ => panic!("as no resolver does"),
        });
        let unknown = NAMES.look_up("unknown").await.expect_err("unknown");
        assert_eq!(
            (unknown.kind(), unknown.to_string().as_str()),
            (ErrorKind::NotFound, "no such name")
        );
        assert!(NAMES.look_up("panics").await.is_err());
    }
}
