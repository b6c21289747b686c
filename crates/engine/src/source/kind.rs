//! What a file is, by how it begins and never by its name. Only what cannot be the header of a CSV file counts as something
//! else; a file that begins with `ID` is SYLK for some spreadsheets and a good CSV for everybody else.

use memchr::memmem;

use super::FileError;

const SAVE: &str = "open it where it was made and save it as CSV (UTF-8)";
const EXCEL: &str = "leave `format` out, or set it to {excel: {}}";
const OLDER_EXCEL: &str = "save it as .xlsx, and leave `format` out or set it to {excel: {}}";
const PARQUET: &str = "leave `format` out, or set it to {parquet: {}}";
const EXPORT: &str = "export its table as CSV (UTF-8)";
const UNPACK: &str = "unpack it and take the file in it";

/// What a file is that is none of the expected format, and what to do about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Foreign {
    pub(super) what: &'static str,
    pub(super) remedy: &'static str,
}

impl Foreign {
    const fn new(what: &'static str, remedy: &'static str) -> Self {
        Self { what, remedy }
    }

    /// As an error of a file that was taken for another format.
    pub(super) fn instead_of(self, expected: &'static str) -> FileError {
        let Self { what, remedy } = self;
        FileError::Unexpected { what, expected, remedy }
    }
}

/// By the bytes of the file; nothing for text.
pub(super) fn of_bytes(head: &[u8]) -> Option<Foreign> {
    let signs: [(&[u8], Foreign); 16] = [
        (OLE, Foreign::new("an Excel workbook (.xls, or one with a password)", EXCEL)),
        (b"\x09\x08\x10\x00\x00\x06", Foreign::new("an Excel workbook (.xls)", OLDER_EXCEL)),
        (b"\x09\x08\x08\x00\x00\x05", Foreign::new("an Excel workbook (.xls)", OLDER_EXCEL)),
        (b"\x1F\x8B", Foreign::new("gzip-compressed once more", UNPACK)),
        (b"BZh91AY&SY", Foreign::new("bzip2-compressed", "pack it with gzip or Zstandard")),
        (b"\xFD7zXZ\0", Foreign::new("xz-compressed", "pack it with gzip or Zstandard")),
        (b"\x28\xB5\x2F\xFD", Foreign::new("Zstandard-compressed once more", UNPACK)),
        (b"7z\xBC\xAF\x27\x1C", Foreign::new("a 7-Zip archive", UNPACK)),
        (b"Rar!\x1A\x07", Foreign::new("a RAR archive", UNPACK)),
        (b"%PDF-", Foreign::new("a PDF document", SAVE)),
        (b"SQLite format 3\0", Foreign::new("an SQLite database", EXPORT)),
        (b"PAR1", Foreign::new("a Parquet file", PARQUET)),
        (b"PARE", Foreign::new("an encrypted Parquet file", "write it without encryption")),
        (b"Obj\x01", Foreign::new("an Avro file", EXPORT)),
        (b"{\\rtf", Foreign::new("a document in Rich Text Format", SAVE)),
        (b"\0\x01\0\0Standard ", Foreign::new("an Access database", EXPORT)),
    ];
    if let Some((_, foreign)) = signs.into_iter().find(|(sign, _)| head.starts_with(sign)) {
        return Some(foreign);
    }
    match zipped(head) {
        Some(Zipped::Workbook(what)) => return Some(Foreign::new(what, EXCEL)),
        Some(Zipped::Document(what)) => return Some(Foreign::new(what, SAVE)),
        Some(Zipped::Archive) => return Some(Foreign::new("a ZIP archive in a packed file", UNPACK)),
        None => {}
    }
    (head.get(257..262) == Some(b"ustar")).then_some(Foreign::new("a tar archive", UNPACK))
}

/// What workbooks of Excel 97 begin with, and encrypted ones of any age.
const OLE: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";

/// Whether the file is, in all likelihood, a workbook of a spreadsheet program.
pub(super) fn is_workbook(head: &[u8]) -> bool {
    head.starts_with(OLE) || matches!(zipped(head), Some(Zipped::Workbook(_)))
}

/// Whether the file begins as Parquet does, encrypted or not. How it ends, its reader looks at.
pub(super) fn is_parquet(head: &[u8]) -> bool {
    head.starts_with(b"PAR1") || head.starts_with(b"PARE")
}

/// What a ZIP archive is: files of somebody, or a document that is one inside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Zipped {
    Archive,
    Workbook(&'static str),
    Document(&'static str),
}

const EXCEL_WORKBOOK: Zipped = Zipped::Workbook("an Excel workbook");

/// Documents that are ZIP archives inside are told by the name of their first part, whichever program wrote them: the names of others may stand
/// in a document that somebody packed. Of what kind they are, the names of the next parts say.
pub(super) fn zipped(head: &[u8]) -> Option<Zipped> {
    if head.starts_with(b"PK\x05\x06") {
        return Some(Zipped::Archive);
    }
    let local = head.strip_prefix(b"PK\x03\x04")?;
    let length = local.get(22..24).map_or(0, |two| usize::from(u16::from_le_bytes([two[0], two[1]])));
    let first = local.get(26..26 + length).unwrap_or_default();
    let has = |part: &str| memmem::find(head, part.as_bytes()).is_some();
    Some(match first {
        b"mimetype" if has("application/vnd.oasis.opendocument.spreadsheet") => Zipped::Workbook("an OpenDocument spreadsheet (.ods)"),
        b"mimetype" if has("application/vnd.oasis.opendocument") => Zipped::Document("an OpenDocument file"),
        b"[Content_Types].xml" if has("word/") || has("ppt/") => Zipped::Document("a document of Microsoft Office"),
        b"[Content_Types].xml" => EXCEL_WORKBOOK,
        _ if ["_rels/", "docProps/"].iter().any(|folder| first.starts_with(folder.as_bytes())) => match has("word/") || has("ppt/") {
            true => Zipped::Document("a document of Microsoft Office"),
            false => EXCEL_WORKBOOK,
        },
        _ if first.starts_with(b"xl/") => EXCEL_WORKBOOK,
        _ if first.starts_with(b"Index/") && (has("Index/Document.iwa") || has("Index/Tables/")) => {
            Zipped::Document("a Numbers spreadsheet")
        }
        _ => Zipped::Archive,
    })
}

/// By its text, where that cannot be CSV.
pub(super) fn of_text(head: &[u8]) -> Option<Foreign> {
    let text = head.trim_ascii_start();
    let begins = |sign: &str| text.get(..sign.len()).is_some_and(|start| start.eq_ignore_ascii_case(sign.as_bytes()));
    let has = |part: &str| memmem::find(text, part.as_bytes()).is_some();
    if begins("<?xml") && has("urn:schemas-microsoft-com:office:spreadsheet") {
        Some(Foreign::new("an Excel workbook in XML", SAVE))
    } else if ["<!doctype html", "<html", "<head", "<body", "<table", "<meta "].into_iter().any(begins) || begins("<?xml") && has("<html") {
        Some(Foreign::new(
            "an HTML page, even if it is called .xls",
            "open it in a spreadsheet and save it as CSV (UTF-8), or export it as CSV",
        ))
    } else if begins("<?xml") {
        Some(Foreign::new("XML", SAVE))
    } else if is_json(text) {
        Some(Foreign::new("JSON", "leave `format` out or set it to {json: {}}, and save the file as UTF-8"))
    } else if is_sylk(text) {
        Some(Foreign::new("a SYLK spreadsheet", SAVE))
    } else {
        None
    }
}

/// The text behind a byte order mark of UTF-8.
pub(super) fn without_mark(head: &[u8]) -> &[u8] {
    head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head)
}

/// An object, or an array of objects or arrays. `[name],[city]` is a header.
pub(super) fn is_json(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
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
        of_bytes(head).or_else(|| of_text(head)).map(|foreign| foreign.instead_of("CSV").to_string())
    }

    /// The first entry of an archive, and what is behind it.
    fn zip(first: &str, next: &str) -> Vec<u8> {
        let mut head = b"PK\x03\x04".to_vec();
        head.extend_from_slice(&[0; 22]);
        head.extend_from_slice(&(first.len() as u16).to_le_bytes());
        head.extend_from_slice(&[0; 2]);
        head.extend_from_slice(first.as_bytes());
        head.extend_from_slice(next.as_bytes());
        head
    }

    #[test]
    fn what_is_no_csv_is_called_what_it_is() {
        for (head, expected) in [
            (&zip("[Content_Types].xml", "xl/workbook.xml")[..], "the file is an Excel workbook, not CSV: leave `format` out"),
            (&zip("docProps/app.xml", "xl/theme/theme1.xml"), "the file is an Excel workbook, not CSV"),
            (&zip("_rels/.rels", "word/document.xml"), "the file is a document of Microsoft Office, not CSV: open it where it was made"),
            (&zip("Contact.csv", "[Content_Types].xml"), "the file is a ZIP archive in a packed file, not CSV: unpack it"),
            (
                &zip("mimetype", "application/vnd.oasis.opendocument.spreadsheet"),
                "the file is an OpenDocument spreadsheet (.ods), not CSV: leave `format` out, or set it to {excel: {}}",
            ),
            (
                &zip("mimetype", "application/vnd.oasis.opendocument.text"),
                "the file is an OpenDocument file, not CSV: open it where it was made",
            ),
            (&zip("report.ods", "mimetypeapplication/vnd.oasis.opendocument.spreadsheet"), "the file is a ZIP archive in a packed file"),
            (&zip("Index/Document.iwa", ""), "the file is a Numbers spreadsheet"),
            (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\0\0", "the file is an Excel workbook (.xls"),
            (b"\x1F\x8B\x08\0", "the file is gzip-compressed once more"),
            (b"%PDF-1.7", "the file is a PDF document"),
            (b"PAR1\x15\x04", "the file is a Parquet file, not CSV: leave `format` out, or set it to {parquet: {}}"),
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
