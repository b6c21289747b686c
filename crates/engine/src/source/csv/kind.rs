//! Files that are no CSV at all, by how they begin: what such a file is and what to do with it. Only what cannot be the
//! header of a CSV file counts; a file that begins with `ID` is SYLK for some spreadsheets and a good CSV for everybody
//! else.

use memchr::memmem;

use crate::source::FileError;

const SAVE: &str = "open it where it was made and save it as CSV (UTF-8)";
const EXCEL: &str = "set the source's format to {excel: {}}";
const OLD_EXCEL: &str = "remove its password if it has one, and set the source's format to {excel: {}}";
const OLDER_EXCEL: &str = "save it as .xlsx, and set the source's format to {excel: {}}";
const UNPACK: &str = "unpack it and take the CSV file in it";

/// By the bytes of the file.
pub(in crate::source) fn of_bytes(head: &[u8]) -> Result<(), FileError> {
    let signs: [(&[u8], &str, &str); 15] = [
        (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "an Excel workbook (.xls, or one with a password)", OLD_EXCEL),
        (b"\x09\x08\x10\x00\x00\x06", "an Excel workbook (.xls)", OLDER_EXCEL),
        (b"\x09\x08\x08\x00\x00\x05", "an Excel workbook (.xls)", OLDER_EXCEL),
        (b"\x1F\x8B", "gzip-compressed", UNPACK),
        (b"BZh91AY&SY", "bzip2-compressed", UNPACK),
        (b"\xFD7zXZ\0", "xz-compressed", UNPACK),
        (b"\x28\xB5\x2F\xFD", "Zstandard-compressed", UNPACK),
        (b"7z\xBC\xAF\x27\x1C", "a 7-Zip archive", UNPACK),
        (b"Rar!\x1A\x07", "a RAR archive", UNPACK),
        (b"%PDF-", "a PDF document", SAVE),
        (b"SQLite format 3\0", "an SQLite database", "export its table as CSV (UTF-8)"),
        (b"PAR1", "a Parquet file", "export it as CSV (UTF-8)"),
        (b"Obj\x01", "an Avro file", "export it as CSV (UTF-8)"),
        (b"{\\rtf", "a document in Rich Text Format", SAVE),
        (b"\0\x01\0\0Standard ", "an Access database", "export its table as CSV (UTF-8)"),
    ];
    if let Some((_, what, remedy)) = signs.into_iter().find(|(sign, ..)| head.starts_with(sign)) {
        return Err(FileError::NotCsv { what, remedy });
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        let (what, remedy) = zip(head);
        return Err(FileError::NotCsv { what, remedy });
    }
    if head.get(257..262) == Some(b"ustar") {
        return Err(FileError::NotCsv { what: "a tar archive", remedy: UNPACK });
    }
    Ok(())
}

/// Formats that are ZIP archives inside are told by the names of their parts.
fn zip(head: &[u8]) -> (&'static str, &'static str) {
    let has = |part: &str| memmem::find(head, part.as_bytes()).is_some();
    if has("application/vnd.oasis.opendocument") {
        ("an OpenDocument file", SAVE)
    } else if has("xl/") && (has("[Content_Types].xml") || has("xl/workbook")) {
        ("an Excel workbook", EXCEL)
    } else if has("[Content_Types].xml") {
        ("a document of Microsoft Office", SAVE)
    } else if has("Index/Document.iwa") || has("Index/Tables/") {
        ("a Numbers spreadsheet", SAVE)
    } else {
        ("a ZIP archive", UNPACK)
    }
}

/// By its text.
pub(in crate::source) fn of_text(head: &[u8]) -> Result<(), FileError> {
    let text = head.trim_ascii_start();
    let begins = |sign: &str| text.get(..sign.len()).is_some_and(|start| start.eq_ignore_ascii_case(sign.as_bytes()));
    let has = |part: &str| memmem::find(text, part.as_bytes()).is_some();
    let (what, remedy) = if begins("<?xml") && has("urn:schemas-microsoft-com:office:spreadsheet") {
        ("an Excel workbook in XML", SAVE)
    } else if ["<!doctype html", "<html", "<head", "<body", "<table", "<meta "].into_iter().any(begins) || begins("<?xml") && has("<html") {
        ("an HTML page, even if it is called .xls", "open it in a spreadsheet and save it as CSV (UTF-8), or export it as CSV")
    } else if begins("<?xml") {
        ("XML", SAVE)
    } else if is_json(text) {
        ("JSON", "export it as CSV (UTF-8)")
    } else if is_sylk(text) {
        ("a SYLK spreadsheet", SAVE)
    } else {
        return Ok(());
    };
    Err(FileError::NotCsv { what, remedy })
}

/// An object, or an array of objects or arrays. `[name],[city]` is a header.
fn is_json(text: &[u8]) -> bool {
    let behind = |open: u8| text.strip_prefix(&[open]).map(|rest| rest.trim_ascii_start().first().copied());
    match (behind(b'{'), behind(b'[')) {
        (Some(next), _) => matches!(next, Some(b'"' | b'}')),
        (_, Some(next)) => matches!(next, Some(b'{' | b'[')),
        _ => false,
    }
}

/// `ID;P` alone is how a CSV with semicolons may begin; a cell's record among the first lines is not.
fn is_sylk(text: &[u8]) -> bool {
    let is_cell = |line: &[u8]| {
        let place = line.strip_prefix(b"C;X").or(line.strip_prefix(b"C;Y"));
        place.and_then(|place| place.first()).is_some_and(u8::is_ascii_digit) && memmem::find(line, b";K").is_some()
    };
    text.starts_with(b"ID;P") && text.split(|byte| matches!(byte, b'\n' | b'\r')).skip(1).any(is_cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(head: &[u8]) -> Option<String> {
        of_bytes(head).and_then(|()| of_text(head)).err().map(|error| error.to_string())
    }

    #[test]
    fn what_is_no_csv_is_called_what_it_is() {
        for (head, expected) in [
            (
                b"PK\x03\x04..[Content_Types].xml..xl/workbook.xml".as_slice(),
                "the file is an Excel workbook, not CSV: set the source's format to {excel: {}}",
            ),
            (b"PK\x03\x04..Contact.csv", "the file is a ZIP archive, not CSV: unpack it"),
            (b"PK\x03\x04..mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "the file is an OpenDocument file"),
            (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\0\0", "the file is an Excel workbook (.xls"),
            (b"\x1F\x8B\x08\0", "the file is gzip-compressed"),
            (b"%PDF-1.7", "the file is a PDF document"),
            (b"\r\n<HTML><head>", "the file is an HTML page"),
            (
                b"<?xml version=\"1.0\"?><Workbook xmlns=\"urn:schemas-microsoft-com:office:spreadsheet\">",
                "the file is an Excel workbook in XML",
            ),
            (b"<?xml version=\"1.0\"?><rows/>", "the file is XML"),
            (b"[{\"Name\":\"A\"}]", "the file is JSON"),
            (b"{\"Name\":\"A\"}\n{", "the file is JSON"),
            (b"ID;PWXL;N;E\nP;PGeneral\nC;Y1;X1;K\"Name\"\nE\n", "the file is a SYLK spreadsheet"),
        ] {
            let found = what(head).unwrap_or_default();
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn headers_that_only_look_like_it_are_headers() {
        for head in [
            "ID,Name\n1,A\n",
            "ID;Price;Kind\nC;X;Kilo\nC;1;K\n",
            "PK,Name\n",
            "[id],[name]\n",
            "<Name>,City\n",
            "{id},x\n",
            "\"ID\"\n",
            "",
        ] {
            assert_eq!(what(head.as_bytes()), None, "{head:?}");
        }
    }
}
