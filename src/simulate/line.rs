//! A connection that can be made to break: closed or reset while an answer is under way.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::Provider;

const LIVE: u8 = 0;
const CLOSED: u8 = 1;
const RESET: u8 = 2;

/// The hand that breaks a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Breaker(Arc<AtomicU8>);

impl Breaker {
    /// Ends the connection at its next write, with FIN.
    pub(super) fn close(&self) {
        self.0.store(CLOSED, Ordering::Release);
    }

    /// Ends the connection at its next write, with RST.
    pub(super) fn reset(&self) {
        self.0.store(RESET, Ordering::Release);
    }
}

impl Connected<IncomingStream<'_, Door>> for Breaker {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().breaker.clone()
    }
}

/// Where connections come in.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) provider: Arc<Provider>,
    pub(super) stopping: watch::Receiver<bool>,
}

impl Listener for Door {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else {
                // Out of descriptors, most likely: some will come back.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                continue;
            };
            if self.provider.refuses_connection() {
                let _ = stream.set_zero_linger();
                continue;
            }
            let _ = stream.set_nodelay(true);
            let mut stopping = self.stopping.clone();
            let stopped = Box::pin(async move {
                let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
            });
            let line = Line {
                stream,
                breaker: Breaker::default(),
                stopped: Some(stopped),
            };
            return (line, address);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that can be made to break; it also ends when the provider stops.
pub(super) struct Line {
    stream: TcpStream,
    breaker: Breaker,
    /// `None` once the provider has stopped.
    stopped: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Line {
    fn check(&self) -> io::Result<()> {
        match self.breaker.0.load(Ordering::Acquire) {
            LIVE => Ok(()),
            RESET => {
                self.stream.set_zero_linger()?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn has_stopped(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(stopped) = &mut self.stopped
            && stopped.as_mut().poll(cx).is_ready()
        {
            self.stopped = None;
        }
        self.stopped.is_none()
    }
}

impl Drop for Line {
    /// What ends a connection without another write must still reset it.
    fn drop(&mut self) {
        let _ = self.check();
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_stopped(cx) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
