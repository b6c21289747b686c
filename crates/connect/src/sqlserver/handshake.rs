//! TLS inside of TDS: while TLS is agreed upon, its bytes travel in packets of TDS, and from then on as they are.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::prelogin::{END, HEAD, PRELOGIN};

/// Of one packet, before a login could agree upon more.
const PACKET: usize = 4096;

/// A stream that packs what TLS says while the handshake lasts.
pub(super) struct Handshake<S> {
    stream: S,
    /// Set until the handshake is over.
    packs: bool,
    /// What TLS said and nothing has packed yet: a flight is one message.
    said: Vec<u8>,
    /// Packets that are on their way, and how far they came.
    packets: Vec<u8>,
    sent: usize,
    head: [u8; HEAD],
    head_filled: usize,
    /// What has not come yet of the packet under way.
    left: usize,
}

impl<S> Handshake<S> {
    /// TLS inside of TDS.
    pub(super) fn packed(stream: S) -> Self {
        Self { packs: true, ..Self::plain(stream) }
    }

    /// TDS inside of TLS.
    pub(super) fn plain(stream: S) -> Self {
        Self { stream, packs: false, said: Vec::new(), packets: Vec::new(), sent: 0, head: [0; HEAD], head_filled: 0, left: 0 }
    }

    /// The handshake is over: no more packets.
    pub(super) fn over(&mut self) {
        self.packs = false;
    }

    fn pack(&mut self) {
        let mut rest = std::mem::take(&mut self.said);
        while !rest.is_empty() {
            let behind = rest.split_off(rest.len().min(PACKET - HEAD));
            let [high, low] = ((HEAD + rest.len()) as u16).to_be_bytes();
            let status = if behind.is_empty() { END } else { 0 };
            self.packets.extend_from_slice(&[PRELOGIN, status, high, low, 0, 0, 1, 0]);
            self.packets.extend_from_slice(&rest);
            rest = behind;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Handshake<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.packs && this.left == 0 {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        while this.left == 0 {
            let mut head = ReadBuf::new(&mut this.head[this.head_filled..]);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut head))?;
            let read = head.filled().len();
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            this.head_filled += read;
            if this.head_filled == HEAD {
                this.head_filled = 0;
                let length = usize::from(u16::from_be_bytes([this.head[2], this.head[3]]));
                // Nobody is verified yet: nothing but a packet of the handshake is read.
                if this.head[0] != PRELOGIN || length <= HEAD {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "it does not answer TLS inside of TDS")));
                }
                this.left = length - HEAD;
            }
        }
        let room = this.left.min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        buf.advance(read);
        this.left -= read;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Handshake<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.packs {
            self.said.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.pack();
        while this.sent < this.packets.len() {
            let written = ready!(Pin::new(&mut this.stream).poll_write(cx, &this.packets[this.sent..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            this.sent += written;
        }
        this.packets.clear();
        this.sent = 0;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn packet(status: u8, body: &[u8]) -> Vec<u8> {
        let [high, low] = ((HEAD + body.len()) as u16).to_be_bytes();
        [&[PRELOGIN, status, high, low, 0, 0, 1, 0][..], body].concat()
    }

    #[tokio::test]
    async fn a_flight_is_one_message_and_a_long_one_has_several_packets() {
        let (ours, mut theirs) = tokio::io::duplex(64 << 10);
        let mut stream = Handshake::packed(ours);
        stream.write_all(b"client").await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        stream.flush().await.unwrap();
        stream.write_all(&[7; 5000]).await.unwrap();
        stream.flush().await.unwrap();
        stream.over();
        stream.write_all(b"as it is").await.unwrap();
        drop(stream);
        let mut heard = Vec::new();
        theirs.read_to_end(&mut heard).await.unwrap();
        let expected = [packet(END, b"clienthello"), packet(0, &[7; 4088]), packet(END, &[7; 912]), b"as it is".to_vec()].concat();
        assert_eq!(heard, expected);
    }

    #[tokio::test]
    async fn packets_are_taken_off_however_they_come() {
        for piece in [1, 3, 9, 100] {
            let (ours, mut theirs) = tokio::io::duplex(piece);
            let said = [packet(0, b"server"), packet(END, b"hello")].concat();
            let talk = tokio::spawn(async move { theirs.write_all(&[&said[..], b"as it is"].concat()).await });
            let mut stream = Handshake::packed(ours);
            let mut heard = [0; 11];
            stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"serverhello", "{piece}");
            stream.over();
            let mut rest = String::new();
            stream.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest, "as it is");
            talk.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn anything_but_a_handshake_ends_it() {
        for said in [&[4, 1, 0, 12, 0, 0, 1, 0, 1, 2, 3, 4][..], &[PRELOGIN, 1, 0, 8, 0, 0, 1, 0], &[PRELOGIN, 1, 0, 3, 0, 0, 1, 0]] {
            let (ours, mut theirs) = tokio::io::duplex(1024);
            theirs.write_all(said).await.unwrap();
            let error = Handshake::packed(ours).read_u8().await.unwrap_err();
            assert_eq!(error.to_string(), "it does not answer TLS inside of TDS");
        }
    }
}
