//! Plain connections to providers that send a request's head together with the beginning of its body.
//!
//! Pingora flushes the head by itself, which is a packet and a wake-up of its own. Here a `POST` head waits for the
//! next write, and for nothing longer: whoever reads, flushes first. Over TLS nothing of this applies.

use std::{
    io,
    net::SocketAddr,
    os::fd::AsRawFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use pingora::{
    ErrorType, OrErr, Result,
    protocols::{
        GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
        TimingDigest, UniqueID, UniqueIDType, raw_connect::ProxyDigest,
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};

/// Opens a connection to `address`.
///
/// # Errors
/// It does not stand within `patience`.
pub(super) async fn connect(address: SocketAddr, patience: Duration) -> Result<Outbound> {
    let stream = timeout(patience, TcpStream::connect(address))
        .await
        .or_err(ErrorType::ConnectTimedout, "connecting to a provider")?
        .or_err(ErrorType::ConnectError, "connecting to a provider")?;
    stream
        .set_nodelay(true)
        .or_err(ErrorType::SocketError, "no delay")?;
    Ok(Outbound {
        stream,
        head: Vec::new(),
    })
}

/// One plain connection to a provider.
#[derive(Debug)]
pub(super) struct Outbound {
    stream: TcpStream,
    /// The head that waits for what follows it.
    head: Vec<u8>,
}

/// Says whether these bytes are the head of a request whose body follows.
fn is_head(bytes: &[u8]) -> bool {
    bytes.starts_with(b"POST ") && bytes.ends_with(b"\r\n\r\n")
}

impl Outbound {
    /// Sends what waits, alone.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.head.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.head))?;
            self.head.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what waits together with `bytes`; returns how many of `bytes` went.
    fn poll_joined(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let both = [io::IoSlice::new(&self.head), io::IoSlice::new(bytes)];
        let sent = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &both))?;
        let of_head = sent.min(self.head.len());
        self.head.drain(..of_head);
        match sent - of_head {
            // Nothing of `bytes` went, which the caller would take for a closed connection.
            0 => {
                ready!(self.poll_head(cx))?;
                Pin::new(&mut self.stream).poll_write(cx, bytes)
            }
            of_bytes => Poll::Ready(Ok(of_bytes)),
        }
    }
}

impl AsyncRead for Outbound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_head(cx))?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Outbound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.head.is_empty() {
            return self.poll_joined(cx, bytes);
        }
        if is_head(bytes) {
            self.head.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_head(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Outbound {
    async fn shutdown(&mut self) {
        // The provider may have gone already.
        let _gone = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Outbound {
    fn id(&self) -> UniqueIDType {
        self.stream.as_raw_fd()
    }
}

impl Ssl for Outbound {}

#[async_trait]
impl Peek for Outbound {}

impl GetTimingDigest for Outbound {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Outbound {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Outbound {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt, net::TcpListener};

    use super::*;

    async fn pair() -> (Outbound, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (provider, _) = listener.accept().await.unwrap();
        (
            Outbound {
                stream,
                head: Vec::new(),
            },
            provider,
        )
    }

    #[tokio::test]
    async fn a_head_goes_out_with_the_body_that_follows_it() {
        let (mut outbound, mut provider) = pair().await;
        let head = b"POST /v1 HTTP/1.1\r\ncontent-length: 2\r\n\r\n";

        outbound.write_all(head).await.unwrap();
        outbound.flush().await.unwrap();
        outbound.write_all(b"{}").await.unwrap();

        let mut seen = vec![0; 256];
        let read = provider.read(&mut seen).await.unwrap();
        assert_eq!(&seen[..read], [&head[..], b"{}"].concat());
    }

    #[tokio::test]
    async fn a_head_nothing_follows_goes_out_when_the_answer_is_read() {
        let (mut outbound, mut provider) = pair().await;
        let head = b"POST /v1 HTTP/1.1\r\ncontent-length: 0\r\n\r\n";
        outbound.write_all(head).await.unwrap();

        let asked = async {
            let mut seen = vec![0; 256];
            let read = provider.read(&mut seen).await.unwrap();
            provider.write_all(b"yes").await.unwrap();
            read
        };
        let mut answer = [0; 3];
        let (read, answered) = tokio::join!(asked, outbound.read_exact(&mut answer));

        assert_eq!((read, answered.unwrap(), &answer), (head.len(), 3, b"yes"));
    }
}
