//! What the client library gets to speak over: a connection that is encrypted and verified already. The library greets by itself and would ask
//! for TLS of its own; it is answered here that there is nothing left to be said of it. What it reads is measured, because it holds a row as
//! a whole, and whatever else a server sends besides rows.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much may still be read before something is done with it.
pub(super) struct Meter {
    left: AtomicUsize,
    exceeded: AtomicBool,
}

impl Meter {
    pub(super) fn new(bytes: usize) -> Self {
        Self { left: AtomicUsize::new(bytes), exceeded: AtomicBool::new(false) }
    }

    /// From now on so many bytes.
    pub(super) fn allow(&self, bytes: usize) {
        self.left.store(bytes, Ordering::Relaxed);
    }

    /// More came than was allowed; the connection is of no use any more.
    pub(super) fn exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        let left = self.left.load(Ordering::Relaxed);
        let Some(left) = left.checked_sub(bytes) else {
            self.exceeded.store(true, Ordering::Relaxed);
            return Err(io::Error::other("more bytes than are read of one answer"));
        };
        self.left.store(left, Ordering::Relaxed);
        Ok(())
    }
}

/// How far the library's greeting is.
enum Greeting {
    /// All that is written until the answer is asked for is the greeting; it goes nowhere.
    Heard,
    /// The answer, from here on.
    Answered(usize),
    Over,
}

pub(super) struct Wire<S> {
    stream: S,
    answer: Vec<u8>,
    greeting: Greeting,
    meter: Arc<Meter>,
}

impl<S> Wire<S> {
    /// `answer`: what the library is told when it greets.
    pub(super) fn new(stream: S, answer: Vec<u8>, meter: Arc<Meter>) -> Self {
        Self { stream, answer, greeting: Greeting::Heard, meter }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let from = match self.greeting {
            Greeting::Heard => 0,
            Greeting::Answered(from) => from,
            Greeting::Over => {
                let before = buf.filled().len();
                ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
                return Poll::Ready(self.meter.take(buf.filled().len() - before));
            }
        };
        let part = &self.answer[from..];
        let part = &part[..part.len().min(buf.remaining())];
        buf.put_slice(part);
        let to = from + part.len();
        self.greeting = if to == self.answer.len() { Greeting::Over } else { Greeting::Answered(to) };
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.greeting {
            Greeting::Heard => Poll::Ready(Ok(buf.len())),
            Greeting::Answered(_) | Greeting::Over => Pin::new(&mut self.stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_greeting_goes_nowhere_and_is_answered_whatever_the_pieces() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let mut wire = Wire::new(ours, b"answer".to_vec(), Arc::new(Meter::new(100)));
        wire.write_all(b"greet").await.unwrap();
        wire.write_all(b"ing").await.unwrap();
        wire.flush().await.unwrap();
        let mut heard = [0; 6];
        for byte in &mut heard {
            *byte = wire.read_u8().await.unwrap();
        }
        assert_eq!(&heard, b"answer");
        wire.write_all(b"login").await.unwrap();
        theirs.write_all(b"in").await.unwrap();
        let mut said = [0; 5];
        theirs.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"login", "nothing came before it");
        assert_eq!((wire.read_u8().await.unwrap(), wire.read_u8().await.unwrap()), (b'i', b'n'));
    }

    #[tokio::test]
    async fn what_is_read_has_an_end_until_something_was_done_with_it() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let meter = Arc::new(Meter::new(10));
        let mut wire = Wire::new(ours, b"!".to_vec(), meter.clone());
        assert_eq!(wire.read_u8().await.unwrap(), b'!');
        let mut piece = [0; 10];
        theirs.write_all(&[0; 31]).await.unwrap();
        wire.read_exact(&mut piece).await.unwrap();
        meter.allow(20);
        wire.read_exact(&mut piece).await.unwrap();
        wire.read_exact(&mut piece).await.unwrap();
        assert!(!meter.exceeded());
        assert!(wire.read_u8().await.is_err() && meter.exceeded());
    }
}
