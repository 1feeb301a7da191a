//! A connection's octets on their way: who does not take what waits for him is cut off.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ca::ports::Clock;
use futures_util::future::BoxFuture;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::guests::Guest;

/// Less than this in the time of a write is no progress: whoever takes an octet now and then holds memory for hours.
const PROGRESS_OCTETS: usize = 16 * 1024;

/// A stream whose writes have to make progress.
pub(super) struct Paced {
    stream: TcpStream,
    guest: Arc<Guest>,
    clock: Arc<dyn Clock>,
    write_time: Duration,
    /// Ends when the peer has had his time; absent as long as nothing waits for him.
    stalled: Option<BoxFuture<'static, ()>>,
    moved: usize,
}

impl Paced {
    pub(super) fn new(stream: TcpStream, guest: Arc<Guest>, clock: Arc<dyn Clock>, write_time: Duration) -> Self {
        Self { stream, guest, clock, write_time, stalled: None, moved: 0 }
    }

    fn written(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(octets)) => {
                self.moved += octets;
                if self.moved >= PROGRESS_OCTETS {
                    self.moved = 0;
                    self.stalled = None;
                    self.guest.progress();
                }
                Poll::Ready(Ok(octets))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let (clock, time) = (&self.clock, self.write_time);
                ready!(self.stalled.get_or_insert_with(|| clock.sleep(time)).as_mut().poll(cx));
                // What the system still holds for this peer goes with the connection.
                let _unsupported = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not take what waits for it")))
            }
        }
    }
}

impl AsyncRead for Paced {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Paced {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, octets);
        this.written(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, octets);
        this.written(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Asked for once all is written: nothing waits for the peer any more.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.stalled = None;
        this.moved = 0;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
