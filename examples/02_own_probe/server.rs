//! A server that can be made to misbehave.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What it replies to each question.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    Pong,
    Nonsense,
    #[cfg_attr(
        not(test),
        allow(dead_code, reason = "only the test plays this reply, which is fatal")
    )]
    WantsPassword,
    Nothing,
}

pub(crate) struct Server {
    address: SocketAddr,
    reply: watch::Sender<Reply>,
}

impl Server {
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (reply, replies) = watch::channel(Reply::Pong);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let reply = *replies.borrow();
                tokio::spawn(async move {
                    let mut question = [0; 64];
                    let _ = stream.read(&mut question).await;
                    let answer: &[u8] = match reply {
                        Reply::Pong => b"+PONG\r\n",
                        Reply::Nonsense => b"+OOPS\r\n",
                        Reply::WantsPassword => b"-NOAUTH Authentication required.\r\n",
                        Reply::Nothing => std::future::pending().await,
                    };
                    let _ = stream.write_all(answer).await;
                });
            }
        });
        Ok(Self { address, reply })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, reply: Reply) {
        self.reply.send_replace(reply);
    }
}
