//! A body that ends early looks like a short file; where the length is known, it is counted.

use std::io;

use futures::stream::{StreamExt, try_unfold};

use super::ByteStream;

/// The same bytes; an error in place of an end that comes too early, or of bytes that come behind it.
pub(in crate::source) fn whole(bytes: ByteStream, length: Option<u64>) -> ByteStream {
    match length {
        None => bytes,
        Some(length) => try_unfold((bytes, 0), move |(mut bytes, found)| async move {
            let Some(piece) = bytes.next().await.transpose()? else {
                return if found == length { Ok(None) } else { Err(cut(found, length)) };
            };
            let found = found + piece.len() as u64;
            if found > length { Err(longer(length)) } else { Ok(Some((piece, (bytes, found)))) }
        })
        .boxed(),
    }
}

fn cut(found: u64, length: u64) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the file ended after {found} of its {length} bytes"))
}

fn longer(length: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the file has more bytes than the {length} that it was said to have"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::executor::block_on;
    use futures::stream;

    use super::*;

    fn read(pieces: &'static [&'static str], length: Option<u64>) -> Result<String, String> {
        let bytes = stream::iter(pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes())))).boxed();
        let found: Vec<io::Result<Bytes>> = block_on(whole(bytes, length).collect());
        let found: io::Result<Vec<Bytes>> = found.into_iter().collect();
        found.map(|pieces| String::from_utf8(pieces.concat()).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_body_that_ends_early_or_late_is_no_file() {
        assert_eq!(read(&["ab", "c"], Some(3)).as_deref(), Ok("abc"));
        assert_eq!(read(&["ab", "c"], None).as_deref(), Ok("abc"));
        assert_eq!(read(&["ab"], Some(3)).unwrap_err(), "the file ended after 2 of its 3 bytes");
        assert_eq!(read(&["ab", "cd"], Some(3)).unwrap_err(), "the file has more bytes than the 3 that it was said to have");
        assert_eq!(read(&[], Some(0)).as_deref(), Ok(""));
    }
}
