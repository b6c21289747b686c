//! Makes archives and workbooks, good and bad ones.

use std::io::Write;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

const STYLES: &str = r#"<styleSheet><numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy\-mm\-dd hh:mm"/></numFmts>
    <cellStyleXfs><xf numFmtId="22"/></cellStyleXfs>
    <cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="20"/><xf numFmtId="46"/><xf numFmtId="9"/></cellXfs></styleSheet>"#;

const STRINGS: &str =
    r#"<sst><si><t>00123</t></si><si><r><rPr><b/></rPr><t>rich</t></r><r><t xml:space="preserve"> text</t></r></si></sst>"#;

/// A workbook as its parts.
#[derive(Clone, Default)]
pub(super) struct Book {
    /// Name, state, part.
    pub(super) sheets: Vec<(&'static str, &'static str, String)>,
    pub(super) workbook_properties: &'static str,
    /// Instead of its own, or beside them.
    pub(super) parts: Vec<(&'static str, String)>,
    /// Parts of its own are not deflated.
    pub(super) stored: bool,
    pub(super) lies: Lies,
}

/// What an archive may say that is not so.
#[derive(Clone, Copy, Default)]
pub(super) struct Lies {
    /// How long its parts are once they are inflated.
    pub(super) size: Option<u32>,
    /// Added to the checksums.
    pub(super) crc_off_by: u32,
    pub(super) encrypted: bool,
}

impl Book {
    pub(super) fn of(sheet: &str) -> Self {
        Self { sheets: vec![("One", "visible", sheet.to_owned())], ..Self::default() }
    }

    pub(super) fn with(mut self, name: &'static str, part: impl Into<String>) -> Self {
        self.parts.push((name, part.into()));
        self
    }

    pub(super) fn zip(&self) -> Zip {
        let mut zip = Zip::new(self.stored, self.lies);
        let (mut sheets, mut relations) = (String::new(), String::new());
        for (number, (name, state, part)) in (1..).zip(&self.sheets) {
            sheets.push_str(&format!(r#"<sheet name="{name}" sheetId="{number}" state="{state}" r:id="r{number}"/>"#));
            relations.push_str(&relation(&format!("r{number}"), "worksheet", &format!("worksheets/sheet{number}.xml")));
            zip.add(&format!("xl/worksheets/sheet{number}.xml"), part.as_bytes());
        }
        relations.push_str(&relation("s", "styles", "styles.xml"));
        relations.push_str(&relation("t", "sharedStrings", "/xl/sharedStrings.xml"));
        let workbook = format!("<workbook xmlns:r='r'>{}<sheets>{sheets}</sheets></workbook>", self.workbook_properties);
        for (name, part) in [
            ("_rels/.rels", top("xl/workbook.xml")),
            ("xl/workbook.xml", workbook),
            ("xl/_rels/workbook.xml.rels", format!("<Relationships>{relations}</Relationships>")),
            ("xl/styles.xml", STYLES.to_owned()),
            ("xl/sharedStrings.xml", STRINGS.to_owned()),
        ] {
            if self.parts.iter().all(|(other, _)| *other != name) {
                zip.add(name, part.as_bytes());
            }
        }
        self.parts.iter().for_each(|(name, part)| zip.add(name, part.as_bytes()));
        zip
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.zip().finish()
    }

    /// The parts alone.
    pub(super) fn archive(&self) -> Vec<u8> {
        let mut zip = Zip::new(self.stored, self.lies);
        self.parts.iter().for_each(|(name, part)| zip.add(name, part.as_bytes()));
        zip.finish()
    }
}

pub(super) fn top(workbook: &str) -> String {
    format!("<Relationships>{}</Relationships>", relation("r", "officeDocument", workbook))
}

pub(super) fn relation(id: &str, kind: &str, target: &str) -> String {
    format!(
        r#"<Relationship Id="{id}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/{kind}" Target="{target}"/>"#
    )
}

pub(super) fn sheet(rows: &str) -> String {
    format!("<worksheet><dimension ref=\"A1\"/><sheetData>{rows}</sheetData><pageMargins/></worksheet>")
}

pub(super) fn header(names: &[&str]) -> String {
    let cells: String = names.iter().map(|name| format!(r#"<c t="str"><v>{name}</v></c>"#)).collect();
    format!(r#"<row r="1">{cells}</row>"#)
}

/// An archive.
#[derive(Clone, Default)]
pub(super) struct Zip {
    local: Vec<u8>,
    directory: Vec<u8>,
    pub(super) count: u16,
    stored: bool,
    lies: Lies,
}

impl Zip {
    /// Whose parts are not deflated, if they are `stored`.
    pub(super) fn new(stored: bool, lies: Lies) -> Self {
        Self { stored, lies, ..Self::default() }
    }

    pub(super) fn add(&mut self, name: &str, content: &[u8]) {
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
        packed.write_all(content).unwrap();
        let packed = if self.stored { content.to_vec() } else { packed.finish().unwrap() };
        let mut crc = Crc::new();
        crc.update(content);
        let start = self.local.len() as u32;
        let mut common = vec![20, 0, u8::from(self.lies.encrypted), 0, if self.stored { 0 } else { 8 }, 0, 0, 0, 0, 0];
        common.extend(crc.sum().wrapping_add(self.lies.crc_off_by).to_le_bytes());
        common.extend((packed.len() as u32).to_le_bytes());
        common.extend(self.lies.size.unwrap_or(content.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        self.local.extend(b"PK\x03\x04");
        self.local.extend(&common);
        self.local.extend(name.as_bytes());
        self.local.extend(&packed);
        self.directory.extend(b"PK\x01\x02\x14\0");
        self.directory.extend(&common);
        self.directory.extend([0; 10]);
        self.directory.extend(start.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.count = self.count.wrapping_add(1);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let (start, length) = (self.local.len() as u32, self.directory.len() as u32);
        let mut bytes = [self.local, self.directory].concat();
        bytes.extend(b"PK\x05\x06\0\0\0\0");
        bytes.extend([self.count.to_le_bytes(), self.count.to_le_bytes()].concat());
        bytes.extend(length.to_le_bytes());
        bytes.extend(start.to_le_bytes());
        bytes.extend([0, 0]);
        bytes
    }
}
