//! The first bytes of a stream, which come again.

use std::io;

use bytes::{Bytes, BytesMut};
use futures::stream::{StreamExt, once};

use super::blob::ByteStream;

/// Enough to see a byte order mark, to tell a delimiter, and to find the names of the first parts of a ZIP archive.
pub(super) const ENOUGH: usize = 64 << 10;

/// Reads until there are enough bytes to judge the file by, or it ends; the stream given back begins with them.
pub(super) async fn peek(mut bytes: ByteStream) -> io::Result<(Bytes, ByteStream)> {
    let mut head = BytesMut::new();
    while head.len() < ENOUGH {
        match bytes.next().await {
            Some(piece) => head.extend_from_slice(&piece?),
            None => break,
        }
    }
    let head = head.freeze();
    // As many bytes in whatever pieces the file comes, so that another attempt judges it alike.
    Ok((head.slice(..head.len().min(ENOUGH)), once(std::future::ready(Ok(head))).chain(bytes).boxed()))
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::stream;

    use super::*;

    #[test]
    fn what_was_seen_comes_again() {
        for count in [0, 1, 70, 200] {
            let pieces: Vec<Bytes> = (0..count).map(|number| vec![number as u8; 1000].into()).collect();
            let whole = pieces.concat();
            let (head, again) = block_on(peek(stream::iter(pieces.into_iter().map(Ok)).boxed())).unwrap();
            assert_eq!(head.len(), whole.len().min(ENOUGH), "{count}");
            assert!(whole.starts_with(&head));
            let again: Vec<Bytes> = block_on(again.map(Result::unwrap).collect());
            assert_eq!(again.concat(), whole);
        }
    }
}
