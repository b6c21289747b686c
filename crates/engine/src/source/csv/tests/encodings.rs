//! Which encoding a file is read in.

use super::*;

fn warnings(file: &[u8], options: CsvOptions, size: usize) -> (Vec<String>, Vec<String>) {
    let pieces: Vec<_> = file.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    block_on(async {
        let mut source = CsvSource::open(stream::iter(pieces), options).await.unwrap();
        let mut batch = Batch::new();
        let mut last = Vec::new();
        while source.next(&mut batch).await.unwrap() {
            let row = batch.rows().last().unwrap();
            last = row.cells.iter().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect();
        }
        (last, source.warnings().iter().map(ToString::to_string).collect())
    })
}

#[test]
fn an_encoding_that_was_detected_is_told_with_the_rows_that_have_its_letters() {
    let file = b"Name;Ort\nA;B\nJ\xF6rg M\xFCller;K\xF6ln\nZo\xEB;Oslo\nC;D\nRen\xE9;Orl\xE9ans\n";
    for size in [1, 7, 4096] {
        let (last, told) = warnings(file, CsvOptions::default(), size);
        assert_eq!(last, ["René", "Orléans"]);
        assert_eq!(
            told,
            ["encoding: the file is no UTF-8; it was read as windows-1252 (detected), which these rows have letters of: set \
                 format.csv.encoding if they are wrong (3 rows, the first is row 2)"]
        );
    }
    assert_eq!(warnings("Name;Ort\nJörg;Köln\n".as_bytes(), CsvOptions::default(), 7).1, [] as [&str; 0]);
    assert_eq!(warnings(file, options(None, Some("windows-1252")).unwrap(), 7).1, [] as [&str; 0]);
}

#[test]
fn an_encoding_is_told_by_the_same_first_mebibyte_whatever_the_pieces() {
    // The letters begin far behind the first piece, and end before the last.
    let plain = b"Ada;London\n".repeat(70_000);
    let file =
        [b"Name;Ort\n", plain.as_slice(), b"J\xF6rg;K\xF6ln\n", &plain[..11 * 20_000], b"Zo\xEB;Oslo\n", &plain[..11 * 10_000]].concat();
    assert!(file.len() > detect::JUDGED);
    for size in [1000, 64 << 10, detect::JUDGED - 1, file.len()] {
        let (_, told) = warnings(&file, CsvOptions::default(), size);
        assert!(told[0].contains("windows-1252") && told[0].ends_with("(2 rows, the first is row 70001)"), "{size}: {told:?}");
    }
    let utf16: Vec<u8> = "Name;Ort\nJörg;Köln\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (last, told) = warnings(&utf16, CsvOptions::default(), 3);
    assert_eq!(last, ["Jörg", "Köln"]);
    assert!(told[0].contains("read as UTF-16LE (detected)"), "{told:?}");
}
