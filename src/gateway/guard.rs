//! A stream that bounds header blocks in size and time, which Pingora leaves open.
//!
//! The deadline runs from a block's first byte, whatever arrives in between; waiting for a first byte is
//! Pingora's keep-alive timeout.

use std::{
    io,
    os::fd::AsRawFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType, raw_connect::ProxyDigest,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use super::connection::Connection;

/// How large a header block may be and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadBounds {
    /// Bytes, request line included.
    pub(super) bytes: usize,
    /// From its first byte to its last.
    pub(super) time: Duration,
}

/// How much is written at once: the head of a whole reply and a short body go out together.
///
/// Pingora flushes whatever a caller must not wait for; its own listeners put such a buffer here.
const WRITE_BUFFER: usize = 4096;

/// A caller's stream under guard.
#[derive(Debug)]
pub(super) struct Guarded {
    inner: BufWriter<TcpStream>,
    connection: Arc<Connection>,
    bounds: HeadBounds,
    head: Head,
}

/// The header block being read.
#[derive(Debug, Default)]
struct Head {
    number: u32,
    bytes: usize,
    ends: Option<Instant>,
    /// Made only when a block arrives in pieces.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    pub(super) fn new(inner: TcpStream, connection: Arc<Connection>, bounds: HeadBounds) -> Self {
        Self {
            inner: BufWriter::with_capacity(WRITE_BUFFER, inner),
            connection,
            bounds,
            head: Head::default(),
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Pingora parses after every read and reads again only when the block is not whole yet.
        if self.head.bytes >= self.bounds.bytes {
            return Poll::Ready(Err(io::Error::other("the header block is too large")));
        }
        let filled = buf.filled().len();
        match Pin::new(&mut self.inner).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => self.count(buf.filled().len().saturating_sub(filled)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_alarm(cx),
        }
    }

    fn count(&mut self, read: usize) -> Poll<io::Result<()>> {
        let now = Instant::now();
        let ends = *self.head.ends.get_or_insert(now + self.bounds.time);
        self.head.bytes = self.head.bytes.saturating_add(read);
        if ends < now {
            Poll::Ready(Err(too_slow()))
        } else {
            Poll::Ready(Ok(()))
        }
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(ends) = self.head.ends else {
            return Poll::Pending;
        };
        let alarm = self
            .head
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(ends)));
        alarm.as_mut().poll(cx).map(|()| Err(too_slow()))
    }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the header block took too long")
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(number) = self.connection.head_number() else {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        };
        if self.head.number != number {
            self.head = Head {
                number,
                ..Head::default()
            };
        }
        self.poll_head(cx, buf)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Guarded {
    async fn shutdown(&mut self) {
        // Whoever is shut down may have gone already.
        let _gone = AsyncWriteExt::shutdown(&mut self.inner).await;
    }
}

impl UniqueID for Guarded {
    fn id(&self) -> UniqueIDType {
        self.inner.get_ref().as_raw_fd()
    }
}

impl Ssl for Guarded {}

#[async_trait]
impl Peek for Guarded {}

impl GetTimingDigest for Guarded {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Guarded {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Guarded {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}
