//! The file that the quick start imports, read as it is.

use std::io;

use bytes::Bytes;
use engine::row::{Batch, Record};
use engine::source::Rows;
use engine::source::csv::{CsvOptions, CsvSource};
use futures::stream;

#[tokio::test]
async fn every_airport_is_read_whatever_the_pieces() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/airports.csv");
    let file = Bytes::from(std::fs::read(path).expect("examples/airports.csv"));
    for size in [1_000, 65_536, file.len()] {
        let pieces: Vec<io::Result<Bytes>> = file.chunks(size).map(|piece| Ok(file.slice_ref(piece))).collect();
        let mut source = CsvSource::open(stream::iter(pieces), CsvOptions::default()).await.unwrap();
        assert_eq!(source.header().names()[..3], ["icao", "iata", "name"]);
        let mut peer = csv::Reader::from_reader(&*file).into_byte_records();
        let (mut batch, mut rows) = (Batch::new(), 0);
        while source.next(&mut batch).await.unwrap() {
            for row in batch.rows() {
                assert!(row.fault.is_none(), "row {}", row.number);
                assert_eq!(row.cells, peer.next().unwrap().unwrap().iter().collect::<Record>());
                rows += 1;
            }
        }
        assert!(peer.next().is_none());
        assert_eq!((rows, source.blank_lines()), (28_298, 0));
    }
}
