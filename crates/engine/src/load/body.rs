//! The mapped rows of one chunk as CSV. They are kept compressed until the chunk is committed: up to five bodies are in memory at a time,
//! and they are what a load's memory consists of. Knows nothing of Salesforce.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use csv::ByteRecord;
use sha2::{Digest, Sha256};

use super::encode;
use crate::packed::{BLOCK, Packed, Packer};

/// A finished body. Clones share the bytes.
#[derive(Clone, Debug, Default)]
pub struct Body {
    pieces: Arc<Vec<Packed>>,
    bytes: u64,
}

impl Body {
    /// Length of what is sent, uncompressed.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The bytes to send, piece by piece, from the first.
    pub fn open(&self) -> OpenBody {
        OpenBody { body: self.clone(), next: 0 }
    }

    /// Digest of what is sent.
    ///
    /// # Errors
    ///
    /// A piece cannot be unpacked: memory was damaged.
    pub fn sha256(&self) -> io::Result<[u8; 32]> {
        let mut digest = Sha256::new();
        for piece in self.open() {
            digest.update(piece?);
        }
        Ok(digest.finalize().into())
    }
}

/// The pieces of a body, each unpacked when it is asked for.
pub struct OpenBody {
    body: Body,
    next: usize,
}

impl Iterator for OpenBody {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        let piece = self.body.pieces.get(self.next)?;
        self.next += 1;
        let mut raw = Vec::new();
        Some(piece.open(&mut raw).map(|()| Bytes::from(raw)))
    }
}

/// Writes bodies, each beginning with the same header line.
pub(crate) struct BodyWriter {
    header: Vec<u8>,
    packer: Packer,
    pieces: Vec<Packed>,
    piece: Vec<u8>,
    finished: u64,
    rows: u64,
}

impl BodyWriter {
    pub(crate) fn new(columns: &ByteRecord) -> Self {
        let mut header = Vec::new();
        encode::line(&mut header, columns);
        Self { header, packer: Packer::new(), pieces: Vec::new(), piece: Vec::new(), finished: 0, rows: 0 }
    }

    /// Bytes so far, header included.
    pub(crate) fn bytes(&self) -> u64 {
        self.finished + self.piece.len() as u64
    }

    pub(crate) fn push(&mut self, cells: &ByteRecord) -> io::Result<()> {
        if self.rows == 0 {
            self.piece.reserve(BLOCK);
            self.piece.extend_from_slice(&self.header);
        }
        encode::line(&mut self.piece, cells);
        self.rows += 1;
        if self.piece.len() >= BLOCK - (BLOCK >> 4) { self.seal() } else { Ok(()) }
    }

    /// The body, if a row was pushed; the writer is then empty again.
    pub(crate) fn finish(&mut self) -> io::Result<Option<Body>> {
        self.seal()?;
        self.rows = 0;
        let bytes = std::mem::take(&mut self.finished);
        let pieces = Arc::new(std::mem::take(&mut self.pieces));
        Ok((bytes > 0).then_some(Body { pieces, bytes }))
    }

    fn seal(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        self.pieces.push(self.packer.pack(&self.piece)?);
        self.finished += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &Body) -> String {
        String::from_utf8(body.open().map(Result::unwrap).collect::<Vec<Bytes>>().concat()).unwrap()
    }

    #[test]
    fn every_body_begins_with_the_header() {
        let mut writer = BodyWriter::new(&ByteRecord::from(vec!["Name", "Phone"]));
        writer.push(&ByteRecord::from(vec!["Ada", "1"])).unwrap();
        let first = writer.finish().unwrap().unwrap();
        writer.push(&ByteRecord::from(vec!["Bo, Jr", ""])).unwrap();
        let second = writer.finish().unwrap().unwrap();
        assert_eq!(text(&first), "Name,Phone\nAda,1\n");
        assert_eq!(text(&second), "Name,Phone\n\"Bo, Jr\",\n");
        assert_eq!(second.bytes(), text(&second).len() as u64);
        assert!(writer.finish().unwrap().is_none());
    }

    #[test]
    fn a_body_of_many_pieces_is_the_rows_one_after_the_other() {
        let mut writer = BodyWriter::new(&ByteRecord::from(vec!["N"]));
        let mut expected = String::from("N\n");
        for n in 0..100_000 {
            writer.push(&ByteRecord::from(vec![n.to_string()])).unwrap();
            expected.push_str(&format!("{n}\n"));
        }
        assert_eq!(writer.bytes(), expected.len() as u64);
        let body = writer.finish().unwrap().unwrap();
        assert!(body.pieces.len() > 1);
        assert_eq!(text(&body), expected);
        assert_eq!(body.sha256().unwrap(), <[u8; 32]>::from(Sha256::digest(&expected)));
    }
}
