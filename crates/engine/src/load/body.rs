//! The mapped rows of one chunk as CSV, as they are sent. Knows nothing of Salesforce.

use std::sync::Arc;

use crate::row::Record;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::encode;

/// How much is handed to the network at a time. Blocks of one size, so that what one chunk gives back fits the next.
const BLOCK: usize = 64 << 10;

/// A finished body. Clones share the bytes.
#[derive(Clone, Debug, Default)]
pub struct Body {
    pieces: Arc<Vec<Bytes>>,
    bytes: u64,
}

impl Body {
    /// Length of what is sent.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The bytes to send, piece by piece, from the first.
    pub fn pieces(&self) -> impl Iterator<Item = Bytes> + Send + use<> {
        let pieces = self.pieces.clone();
        (0..pieces.len()).map(move |at| pieces[at].clone())
    }

    /// Digest of what is sent.
    pub fn sha256(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        self.pieces.iter().for_each(|piece| digest.update(piece));
        digest.finalize().into()
    }
}

/// Writes bodies, each beginning with the same header line.
pub(crate) struct BodyWriter {
    header: Vec<u8>,
    pieces: Vec<Bytes>,
    piece: Vec<u8>,
    finished: u64,
    rows: u64,
}

impl BodyWriter {
    pub(crate) fn new(columns: &Record) -> Self {
        let mut header = Vec::new();
        encode::line(&mut header, columns);
        Self { header, pieces: Vec::new(), piece: Vec::new(), finished: 0, rows: 0 }
    }

    /// Bytes so far, header included.
    pub(crate) fn bytes(&self) -> u64 {
        self.finished + self.piece.len() as u64
    }

    pub(crate) fn push(&mut self, cells: &Record) {
        if self.piece.is_empty() {
            self.piece.reserve_exact(BLOCK);
        }
        if self.rows == 0 {
            self.piece.extend_from_slice(&self.header);
        }
        encode::line(&mut self.piece, cells);
        self.rows += 1;
        if self.piece.len() >= BLOCK - (BLOCK >> 4) {
            self.seal();
        }
    }

    /// The body, if a row was pushed; the writer is then empty again.
    pub(crate) fn finish(&mut self) -> Option<Body> {
        self.seal();
        self.rows = 0;
        let bytes = std::mem::take(&mut self.finished);
        let pieces = Arc::new(std::mem::take(&mut self.pieces));
        (bytes > 0).then_some(Body { pieces, bytes })
    }

    fn seal(&mut self) {
        if !self.piece.is_empty() {
            self.finished += self.piece.len() as u64;
            self.pieces.push(std::mem::take(&mut self.piece).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &Body) -> String {
        String::from_utf8(body.pieces().collect::<Vec<Bytes>>().concat()).unwrap()
    }

    #[test]
    fn every_body_begins_with_the_header() {
        let mut writer = BodyWriter::new(&Record::from(vec!["Name", "Phone"]));
        writer.push(&Record::from(vec!["Ada", "1"]));
        let first = writer.finish().unwrap();
        writer.push(&Record::from(vec!["Bo, Jr", ""]));
        let second = writer.finish().unwrap();
        assert_eq!(text(&first), "Name,Phone\nAda,1\n");
        assert_eq!(text(&second), "Name,Phone\n\"Bo, Jr\",\n");
        assert_eq!(second.bytes(), text(&second).len() as u64);
        assert!(writer.finish().is_none());
    }

    #[test]
    fn a_body_of_many_pieces_is_the_rows_one_after_the_other() {
        let mut writer = BodyWriter::new(&Record::from(vec!["N"]));
        let mut expected = String::from("N\n");
        for n in 0..100_000 {
            writer.push(&Record::from(vec![n.to_string()]));
            expected.push_str(&format!("{n}\n"));
        }
        assert_eq!(writer.bytes(), expected.len() as u64);
        let body = writer.finish().unwrap();
        assert!(body.pieces.len() > 1);
        assert_eq!(text(&body), expected);
        assert_eq!(body.sha256(), <[u8; 32]>::from(Sha256::digest(&expected)));
    }
}
