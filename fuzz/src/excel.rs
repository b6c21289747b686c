//! The reader of workbooks. The first byte chooses what the rest is: a whole file, the records of an old one, or one part of another kind whose
//! other parts are good ones. The second chooses how it is read. An archive hides its parts from a fuzzer, so they are packed here, as they are.

use std::collections::BTreeSet;
use std::io::{Cursor, Write};

use api::import_job::{ExcelFormat, Hidden};
use engine::Memory;
use engine::row::Batch;
use engine::source::excel::{ExcelOptions, SheetRows};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A part by its name.
type Part = (&'static str, &'static [u8]);

const XML: [Part; 6] = [
    ("xl/worksheets/sheet1.xml", br#"<worksheet><sheetData><row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c></row><row r="2"><c r="A2" s="1"><v>45322</v></c><c r="B2" t="s"><v>1</v></c></row></sheetData></worksheet>"#),
    ("xl/sharedStrings.xml", b"<sst><si><t>Name</t></si><si><r><t>Ci</t></r><r><t>ty</t></r></si></sst>"),
    ("xl/styles.xml", br#"<styleSheet><numFmts><numFmt numFmtId="164" formatCode="yyyy-mm-dd"/></numFmts><cellXfs><xf numFmtId="0"/><xf numFmtId="164"/></cellXfs></styleSheet>"#),
    ("xl/workbook.xml", br#"<workbook><sheets><sheet name="One" sheetId="1" r:id="r1"/></sheets></workbook>"#),
    ("xl/_rels/workbook.xml.rels", br#"<Relationships><Relationship Id="r1" Type="x/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="r2" Type="x/sharedStrings" Target="sharedStrings.xml"/><Relationship Id="r3" Type="x/styles" Target="styles.xml"/></Relationships>"#),
    ("_rels/.rels", br#"<Relationships><Relationship Id="r" Type="x/officeDocument" Target="xl/workbook.xml"/></Relationships>"#),
];

/// Lists of parts are XML here, too, and are not fed again.
const BINARY: [Part; 6] = [
    ("xl/worksheets/sheet1.bin", b"\x81\x01\0\x91\x01\0\0\x11\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x12\x08\0\0\0\0\0\0\0\0\x12\x08\0\0\0\0\x01\0\0\0\0\x11\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0D\x08\x01\0\0\0\x2A\xC4\x02\0\x92\x01\0\x82\x01\0"),
    ("xl/sharedStrings.bin", b"\x13\x0D\0\x04\0\0\0N\0a\0m\0e\0\x13\x0D\0\x04\0\0\0C\0i\0t\0y\0"),
    ("xl/styles.bin", b"\x2C\x0E\xA4\0\x04\0\0\0y\0y\0y\0y\0\xE9\x04\0\x2F\x04\0\0\0\0\x2F\x04\0\0\xA4\0\xEA\x04\0"),
    ("xl/workbook.bin", b"\x9C\x01\x1A\0\0\0\0\x01\0\0\0\x02\0\0\0r\x001\0\x03\0\0\0O\0n\0e\0"),
    ("xl/_rels/workbook.bin.rels", br#"<Relationships><Relationship Id="r1" Type="x/worksheet" Target="worksheets/sheet1.bin"/><Relationship Id="r2" Type="x/sharedStrings" Target="sharedStrings.bin"/><Relationship Id="r3" Type="x/styles" Target="styles.bin"/></Relationships>"#),
    ("_rels/.rels", br#"<Relationships><Relationship Id="r" Type="x/officeDocument" Target="xl/workbook.bin"/></Relationships>"#),
];

const OPEN: [Part; 3] = [
    ("content.xml", br#"<document-content><automatic-styles><style name="day" family="table-cell" parent-style-name="Day"/></automatic-styles><body><spreadsheet><table name="One"><table-row><table-cell><p>Name</p></table-cell><table-cell><p>City</p></table-cell></table-row><table-row><table-cell style-name="day" value-type="date" date-value="2024-01-31"/></table-row></table></spreadsheet></body></document-content>"#),
    ("styles.xml", br#"<document-styles><styles><date-style name="N1"><hours/></date-style><style name="Day" family="table-cell" data-style-name="N1"/></styles></document-styles>"#),
    ("META-INF/manifest.xml", b"<manifest/>"),
];

/// Rows of one input that are looked at: an OpenDocument spreadsheet says once what stands for a million.
const ROWS: u64 = 10_000;

pub(crate) fn feed(input: &[u8]) {
    let [choice, way, part @ ..] = input else { return };
    let file = match usize::from(*choice) % 15 {
        0 => part.to_vec(),
        1 => contained(part),
        chosen @ 2..8 => packed(&XML, chosen - 2, part),
        chosen @ 8..12 => packed(&BINARY, chosen - 8, part),
        chosen => packed(&OPEN, chosen - 12, part),
    };
    assert_eq!(read(&file, *way), read(&file, *way), "the same each time");
}

/// Records of an old workbook in their container: a table of sectors, a directory, and the stream in the sectors behind them.
fn contained(stream: &[u8]) -> Vec<u8> {
    const SECTOR: usize = 512;
    const END: u32 = 0xFFFF_FFFE;
    let sectors = stream.len().div_ceil(SECTOR).clamp(8, 120);
    let mut file = vec![0; SECTOR * (3 + sectors)];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1");
    put(30, &9u16.to_le_bytes());
    put(48, &1u32.to_le_bytes());
    put(60, &END.to_le_bytes());
    put(68, &END.to_le_bytes());
    (1..109).for_each(|place| put(76 + place * 4, &u32::MAX.to_le_bytes()));
    put(SECTOR + 4, &END.to_le_bytes());
    for sector in 2..sectors as u32 + 2 {
        let next = if sector as usize == sectors + 1 { END } else { sector + 1 };
        put(SECTOR + sector as usize * 4, &next.to_le_bytes());
    }
    let name: Vec<u8> = "Workbook".encode_utf16().flat_map(u16::to_le_bytes).collect();
    put(2 * SECTOR + 128, &name);
    put(2 * SECTOR + 128 + 116, &2u32.to_le_bytes());
    put(2 * SECTOR + 128 + 120, &((sectors * SECTOR) as u32).to_le_bytes());
    put(3 * SECTOR, &stream[..stream.len().min(sectors * SECTOR)]);
    file
}

fn packed(parts: &[Part], chosen: usize, part: &[u8]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (at, (name, good)) in parts.iter().enumerate() {
        archive.start_file(*name, stored).expect("a name of ours");
        archive.write_all(if at == chosen { part } else { good }).expect("memory has room");
    }
    archive.finish().expect("memory has room").into_inner()
}

fn options(way: u8) -> ExcelOptions {
    let format = ExcelFormat {
        sheet_number: (way & 1 != 0).then_some(1),
        header_row: (way & 2 != 0).then_some(2),
        range: (way & 4 != 0).then(|| "A1:C9".to_owned()),
        skip_footer_rows: (way & 8 != 0).then_some(2),
        hidden: (way & 16 != 0).then_some(Hidden::Skip),
        sheet: None,
    };
    ExcelOptions::compile(&format).expect("these are valid")
}

/// Every row as the reader tells it, or the words with which it ends.
fn read(file: &[u8], way: u8) -> (Vec<String>, Option<String>) {
    let used: BTreeSet<String> = if way & 32 != 0 { ["Name".to_owned()].into() } else { BTreeSet::new() };
    let mut told = Vec::new();
    let ended = (|| {
        let mut rows = SheetRows::open(file.to_vec().into(), &options(way), &used, Memory::default())?;
        let (mut number, columns, mut batch) = (0, rows.header().len(), Batch::new());
        told.push(format!("{:?}", rows.header().names()));
        while rows.next(&mut batch)? {
            for row in batch.rows() {
                number += 1;
                assert_eq!(row.number, number, "rows are counted one by one");
                assert_eq!(row.cells.len(), columns, "as many cells as columns");
                assert!(row.cells.iter().all(|cell| std::str::from_utf8(cell).is_ok_and(|cell| !cell.contains('\0'))), "cells are text");
                assert!(row.fault.is_some() || row.refused.is_empty(), "only a refused row is kept as it stood");
                told.push(format!("{:?} {} {:?}", row.cells, row.skipped, row.fault));
            }
            if number > ROWS {
                return Ok(());
            }
        }
        assert!(number + rows.blank_lines() < 1 << 20, "a sheet has so many rows");
        told.push(format!("{} blank rows", rows.blank_lines()));
        Ok::<_, engine::source::FileError>(())
    })();
    (told, ended.err().map(|error| error.to_string()))
}
