//! Watches.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use etcd_client::proto::*;
use tokio::time::{Instant, sleep_until};
use tokio_stream::StreamExt;
use tonic::{Request, Status, Streaming};

use super::member::{Member, Replies, Reply, Tell};
use super::store::Keys;

#[tonic::async_trait]
impl PbWatchService for Member {
    type WatchStream = Replies<PbWatchResponse>;

    async fn watch(&self, request: Request<Streaming<PbWatchRequest>>) -> Reply<Self::WatchStream> {
        let member = self.clone();
        self.replies(request, |requests, tell| {
            let stream = WatchStream {
                member,
                watches: BTreeMap::new(),
                tell,
            };
            async move {
                let _nobody_listens = stream.serve(requests).await;
            }
        })
    }
}

/// One stream, and the watches on it.
struct WatchStream {
    member: Member,
    watches: BTreeMap<i64, Watch>,
    tell: Tell<PbWatchResponse>,
}

struct Watch {
    keys: Keys,
    /// The first revision that was not told.
    next: i64,
    with_previous: bool,
    tells_progress: bool,
    /// etcd's numbers of the kinds of event that are not told.
    filters: Vec<i32>,
}

/// Nobody listens any more.
struct Closed;

impl WatchStream {
    async fn serve(mut self, mut requests: Streaming<PbWatchRequest>) -> Result<(), Closed> {
        let mut progress_at = Instant::now() + PROGRESS_EVERY;
        loop {
            let member = self.member.clone();
            let mut written = pin!(member.cluster.written().notified());
            written.as_mut().enable();
            if self.tell_changes().await? {
                continue;
            }
            tokio::select! {
                biased;
                request = requests.next() => match request {
                    Some(Ok(PbWatchRequest { request_union: Some(request) })) => {
                        self.take(request).await?;
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Ok(()),
                },
                () = written => {}
                () = sleep_until(progress_at) => {
                    progress_at += PROGRESS_EVERY;
                    self.tell_progress().await?;
                }
            }
        }
    }

    async fn take(&mut self, request: PbWatchRequestUnion) -> Result<(), Closed> {
        let asked = self.member.asked(|_| true).await;
        let response = match request {
            PbWatchRequestUnion::CreateRequest(create) => {
                let header = self.member.header_now();
                let now = header.as_ref().map_or(0, |header| header.revision);
                let refused = self.refuses(create.watch_id);
                let watch_id = match create.watch_id {
                    0 => (0..).find(|id| !self.watches.contains_key(id)),
                    id => Some(id),
                };
                let watch_id = watch_id.unwrap_or(OF_NO_WATCH);
                if refused.is_none() {
                    let watch = Watch {
                        keys: Keys::new(&create.key, &create.range_end),
                        next: match create.start_revision {
                            0 => now + 1,
                            revision => revision,
                        },
                        with_previous: create.prev_kv,
                        tells_progress: create.progress_notify,
                        filters: create.filters,
                    };
                    self.watches.insert(watch_id, watch);
                }
                PbWatchResponse {
                    header,
                    watch_id,
                    created: true,
                    canceled: refused.is_some(),
                    cancel_reason: refused.unwrap_or_default(),
                    ..PbWatchResponse::default()
                }
            }
            PbWatchRequestUnion::CancelRequest(cancel) => {
                if self.watches.remove(&cancel.watch_id).is_none() {
                    return Ok(());
                }
                PbWatchResponse {
                    header: self.member.header_now(),
                    watch_id: cancel.watch_id,
                    canceled: true,
                    ..PbWatchResponse::default()
                }
            }
            PbWatchRequestUnion::ProgressRequest(_) => PbWatchResponse {
                header: self.member.header_now(),
                watch_id: OF_NO_WATCH,
                ..PbWatchResponse::default()
            },
        };
        self.member.reply(asked).await;
        self.send(response).await
    }

    /// Why no watch is made, if none is: as Go prints a status.
    fn refuses(&self, id: i64) -> Option<String> {
        if !self.member.cluster.now().permits {
            let denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
            return Some(denied.to_owned());
        }
        let is_twice = id != 0 && self.watches.contains_key(&id);
        is_twice.then(|| "mvcc: duplicate watch ID provided on the WatchStream".to_owned())
    }

    /// Tells what changed since it was told last: each watch in a message of its own, and all changes in
    /// their order. Whether anything had.
    async fn tell_changes(&mut self) -> Result<bool, Closed> {
        let mut messages = Vec::new();
        let Self {
            member, watches, ..
        } = self;
        let is_deaf = member.cluster.now().deaf.is(member.index);
        member.of_own_store(|store| {
            for (&watch_id, watch) in watches {
                let mut events = store.changes(&watch.keys, watch.next);
                watch.next = watch.next.max(store.revision() + 1);
                events.retain(|_| !is_deaf);
                events.retain(|event| !watch.filters.contains(&event.r#type));
                if !watch.with_previous {
                    events.iter_mut().for_each(|event| event.prev_kv = None);
                }
                if !events.is_empty() {
                    messages.push(PbWatchResponse {
                        header: member.header(store),
                        watch_id,
                        events,
                        ..PbWatchResponse::default()
                    });
                }
            }
        });
        if messages.is_empty() {
            return Ok(false);
        }
        self.member.reply(self.member.unasked()).await;
        for message in messages {
            self.send(message).await?;
        }
        Ok(true)
    }

    /// To those who want to hear it unasked.
    async fn tell_progress(&mut self) -> Result<(), Closed> {
        let told = self
            .watches
            .iter()
            .filter(|(_, watch)| watch.tells_progress);
        let told: Vec<i64> = told.map(|(id, _)| *id).collect();
        for watch_id in told {
            self.member.reply(self.member.unasked()).await;
            let header = self.member.header_now();
            self.send(PbWatchResponse {
                header,
                watch_id,
                ..PbWatchResponse::default()
            })
            .await?;
        }
        Ok(())
    }

    async fn send(&self, message: PbWatchResponse) -> Result<(), Closed> {
        let message: Result<_, Status> = Ok(message);
        self.tell.send(message).await.map_err(|_| Closed)
    }
}

/// What etcd writes where an answer is of all watches of a stream.
const OF_NO_WATCH: i64 = -1;
/// etcd's, by default.
const PROGRESS_EVERY: Duration = Duration::from_secs(600);
