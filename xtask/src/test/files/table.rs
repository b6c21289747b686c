//! The files and what is expected of them. Digests are the first 16 digits of SHA-256: `sha256` of the file itself, `digest`
//! of its rows as Python's csv module reads them (reader.py).

#[derive(Clone, Copy, Debug)]
pub(super) enum Registry {
    PyPiWheel,
    PyPiSource,
    Npm,
    Debian,
    Crates,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Package {
    pub(super) registry: Registry,
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// Where its files are.
    pub(super) folder: &'static str,
}

const fn package(registry: Registry, name: &'static str, version: &'static str, folder: &'static str) -> Package {
    Package { registry, name, version, folder }
}

const AGATE: Package = package(Registry::PyPiSource, "agate", "1.14.2", "examples");
const CSVKIT: Package = package(Registry::PyPiSource, "csvkit", "2.2.0", "examples");
const AIRPORTS: Package = package(Registry::PyPiWheel, "airportsdata", "20260905", "airportsdata");
const COUNTRIES: Package = package(Registry::PyPiWheel, "country_converter", "1.3.2", "country_converter");
const ORANGE: Package = package(Registry::PyPiWheel, "orange3", "3.40.0", "Orange/tests/datasets");
const VEGA: Package = package(Registry::Npm, "vega-datasets", "3.2.1", "data");
const WORLD: Package = package(Registry::Npm, "world-countries", "5.1.0", "dist");
const SPECTRUM: Package = package(Registry::Npm, "csv-spectrum", "2.0.0", "csvs");
const PAPAPARSE: Package = package(Registry::Npm, "papaparse", "5.7.1", "tests");
const DATA_TABLE: Package = package(Registry::Debian, "r-cran-data.table", "1.14.8+dfsg-1", "usr/lib/R/site-library/data.table/tests");
const GDAL: Package = package(Registry::Debian, "gdal-data", "3.6.2+dfsg-1", "usr/share/gdal");
const CHIRP: Package = package(Registry::Debian, "chirp", "1:20221106+py3-1", "usr/share/chirp/stock_configs");
const CSV: Package = package(Registry::Crates, "csv", "1.4.0", "examples/data");

pub(super) const PACKAGES: [Package; 13] =
    [AGATE, CSVKIT, AIRPORTS, COUNTRIES, ORANGE, VEGA, WORLD, SPECTRUM, PAPAPARSE, DATA_TABLE, GDAL, CHIRP, CSV];

/// What the files together must have.
pub(super) const TRAITS: [&str; 14] = [
    "byte order mark",
    "UTF-16",
    "legacy code page",
    "CRLF",
    "CR",
    "semicolons",
    "tabs",
    "another delimiter",
    "line ends in cells",
    "non-ASCII",
    "ragged rows",
    "empty lines",
    "NUL",
    "JSON",
];

/// A cell of the first file, and what the control makes of it.
pub(super) const CONTROL: (&str, &str) = ("Rosecrans & Chester avenues", "Rosecrans & Chester avenue");

#[derive(Clone, Copy)]
pub(super) enum Expected {
    /// Every row is in Salesforce with every cell.
    Imported,
    /// So are all rows but these; the first of them is refused in these words.
    Refused(&'static [u64], &'static str),
    /// Nothing is; the run ends for this reason and says this.
    Unreadable(&'static str, &'static str),
}

impl Expected {
    pub(super) fn refused(self) -> &'static [u64] {
        match self {
            Self::Refused(rows, _) => rows,
            Self::Imported | Self::Unreadable(..) => &[],
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Imported => "is imported",
            Self::Refused(..) => "is imported but for rows that are refused",
            Self::Unreadable(..) => "is refused",
        }
    }
}

pub(super) struct File {
    pub(super) package: Package,
    pub(super) path: &'static str,
    pub(super) sha256: &'static str,
    pub(super) rows: u64,
    pub(super) digest: &'static str,
    /// Encoding and delimiter for Python, which detects neither.
    pub(super) read_as: [&'static str; 2],
    /// What the job says of the file's format.
    pub(super) encoding: Option<&'static str>,
    pub(super) delimiter: Option<&'static str>,
    pub(super) expected: Expected,
}

const fn file(package: Package, path: &'static str, sha256: &'static str, rows: u64, digest: &'static str) -> File {
    let (read_as, expected) = (["utf-8", ","], Expected::Imported);
    File { package, path, sha256, rows, digest, read_as, encoding: None, delimiter: None, expected }
}

impl File {
    pub(super) fn name(&self) -> String {
        let told = [self.encoding, self.delimiter].into_iter().flatten().map(|told| format!(" as {told}"));
        format!("{} {}{}", self.package.name, self.path, told.collect::<String>())
    }

    const fn read_as(self, encoding: &'static str, delimiter: &'static str) -> Self {
        Self { read_as: [encoding, delimiter], ..self }
    }

    const fn with_encoding(self, encoding: &'static str) -> Self {
        Self { encoding: Some(encoding), ..self }
    }

    const fn with_delimiter(self, delimiter: &'static str) -> Self {
        Self { delimiter: Some(delimiter), ..self }
    }

    const fn refused(self, rows: &'static [u64], first: &'static str) -> Self {
        Self { expected: Expected::Refused(rows, first), ..self }
    }

    const fn unreadable(self, reason: &'static str, message: &'static str) -> Self {
        Self { expected: Expected::Unreadable(reason, message), ..self }
    }
}

pub(super) const FILES: [File; 38] = [
    file(VEGA, "la-riots.csv", "90884a2c333e45c1", 63, "8e9849f16d04e0fb"),
    file(AGATE, "test_utf16_big.csv", "92f64f6ba5db1a79", 2, "b1da1c84b2711077").read_as("utf-16", ","),
    file(AGATE, "test_utf16_little.csv", "5abb50e4f0023804", 2, "b1da1c84b2711077").read_as("utf-16", ","),
    file(AGATE, "test_cr.csv", "732d1e585164fbf5", 3, "aad32e3b977eb859"),
    file(AGATE, "test_csv_sniff.csv", "057a08d643645ffb", 3, "aad32e3b977eb859").read_as("utf-8", "|"),
    file(CSVKIT, "test_utf8_bom.csv", "ac4c8b9a80220c53", 2, "b1da1c84b2711077").read_as("utf-8-sig", ","),
    file(CSVKIT, "bad.csv", "fc110fb45733f02d", 3, "6540d4890505aba8").refused(
        &[1, 2],
        "RAGGED_ROW: row 1 (line 2, byte 27): 4 fields, one or more behind the last column \"column_c\"; put text with a \
         delimiter in quotes",
    ),
    file(CSVKIT, "null_byte.csv", "2c414e18fac2b0be", 1, "051ab104e3dcf9bb").refused(
        &[1],
        "NUL_CHARACTER: row 1 (line 2, byte 6): column \"a\" contains a NUL character, which Salesforce cannot store; \
         remove it",
    ),
    file(CSVKIT, "test_header_newline.csv", "036880c80a5e95fc", 1, "4e2754278dbec5c5"),
    file(CSVKIT, "optional_quote_characters.csv", "bd8f48f8188aa3b8", 1, "cec623bb0b8cbe2b"),
    file(CSVKIT, "test_empty_columns_long_row.csv", "ecfbeea1bdbcfecb", 0, "e3b0c44298fc1c14"),
    file(CSVKIT, "sheets.xls", "465af98be168f182", 160, "8b3058a71ebb818a").read_as("latin-1", ",").with_delimiter(",").unreadable(
        "SourceFailed",
        "the file is an Excel workbook (.xls, or one with a password), not CSV: leave `format` out, or set it to {excel: {}}",
    ),
    file(CSVKIT, "testjson.json", "6b74eb05fb82644b", 5, "6bb6516cc88760ba").read_as("utf-8", "json"),
    file(CSVKIT, "realdata/FY09_EDU_Recipients_by_State.csv", "809b938a927e1a21", 52, "e464e7646ab5cbd5"),
    file(CSVKIT, "realdata/census_2000/determination_schema.csv", "4667d36f09a47721", 21, "1f05a2ca6627152e"),
    file(AIRPORTS, "airports.csv", "516c57d9d999f7a3", 28298, "f3e06c74b5b81cba"),
    file(COUNTRIES, "country_data.tsv", "73c5f9c3b94110d7", 256, "513e19fd656481c9").read_as("utf-8", "\t").refused(
        &[2],
        "RAGGED_ROW: row 2 (line 3, byte 595): no field for column \"FIFA\"; write a delimiter for every field, also an \
         empty one",
    ),
    file(ORANGE, "cyber-security-breaches.tab", "0d6296c38a590fe3", 1056, "b4ea218d9738a0e6").read_as("utf-8", "\t"),
    file(VEGA, "unemployment.tsv", "f82bff0a9745cc9e", 3218, "17b9ea980d9f09cf").read_as("utf-8", "\t"),
    file(WORLD, "countries.csv", "3ed669a5c24567a1", 250, "fb427e5b438dad4b"),
    file(SPECTRUM, "newlines_crlf.csv", "20e00691b31630d2", 3, "d30de63b83ef66a4"),
    file(SPECTRUM, "location_coordinates.csv", "0c68aedc167b8fbc", 1, "b937ef43c0cd4d67"),
    file(PAPAPARSE, "verylong-sample.csv", "8e40789e8490a4f1", 2000, "ac570aafe022b34b").refused(
        &[499, 999, 1499, 1999],
        "RAGGED_ROW: row 499 (line 500, byte 17687): no field for column \"TLD\"; write a delimiter for every field, \
         also an empty one",
    ),
    file(DATA_TABLE, "1680-fread-header-encoding.csv", "9e77a48f13cccec9", 4, "9e4fa29c56446f10").read_as("cp1252", ";"),
    file(DATA_TABLE, "1680-fread-header-encoding.csv", "9e77a48f13cccec9", 4, "9e4fa29c56446f10")
        .read_as("cp1252", ";")
        .with_encoding("windows-1252"),
    file(DATA_TABLE, "russellCRCRLF.csv", "82f35de49c8cb9b5", 19, "997cabf729645b8d").read_as("cp1252", ","),
    file(DATA_TABLE, "russellCRCRLF.csv", "82f35de49c8cb9b5", 19, "997cabf729645b8d").read_as("cp1252", ",").with_encoding("windows-1252"),
    file(DATA_TABLE, "doublequote_newline.csv", "dddd2fc2e0d3dccb", 36, "7677bcb4652a7407"),
    file(DATA_TABLE, "unescaped.csv", "0de1848fcaf47cc0", 2, "dcc19bd01ecabe31").refused(
        &[1, 2],
        "MALFORMED_QUOTE: row 1 (line 2, byte 36): column \"Comment\" has text behind its closing quote; write a quote \
         inside quoted text twice",
    ),
    file(GDAL, "s57expectedinput.csv", "d5b09a5c4248f3eb", 1007, "4dcddf9b74287bbb").read_as("cp1252", ",").refused(
        &[909],
        "MALFORMED_QUOTE: row 909 (line 910, byte 19217): column \"Meaning\" has text behind its closing quote; write a \
         quote inside quoted text twice",
    ),
    file(GDAL, "s57expectedinput.csv", "d5b09a5c4248f3eb", 1007, "4dcddf9b74287bbb")
        .read_as("cp1252", ",")
        .with_encoding("windows-1252")
        .refused(
            &[909],
            "MALFORMED_QUOTE: row 909 (line 910, byte 19217): column \"Meaning\" has text behind its closing quote; write a \
             quote inside quoted text twice",
        ),
    file(GDAL, "ozi_datum.csv", "e3678e3f144084ae", 130, "0c39ca63425ad515").refused(
        &[1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 13, 22, 38, 56, 121, 126],
        "RAGGED_ROW: row 1 (line 2, byte 57): no field for column \"EPSG_DATUM_CODE\"; write a delimiter for every \
         field, also an empty one",
    ),
    file(CHIRP, "FR Marine VHF Channels.csv", "0115eec92e3df562", 57, "c7872bf24ba449d7"),
    file(CSV, "uspop-latin1.csv", "cadf08609c2f76c9", 100, "b39471b6b5e6ff6f").read_as("cp1252", ","),
    file(CSV, "uspop-latin1.csv", "cadf08609c2f76c9", 100, "b39471b6b5e6ff6f").read_as("cp1252", ",").with_encoding("windows-1252"),
    file(CSV, "strange.csv", "c6b5150e0795b232", 6, "3a9f160b22ab14bf").read_as("utf-8", ";").unreadable(
        "SourceFailed",
        "header (line 1, byte 3): the name of column number 1 has a misplaced quote; quote whole names, and write a \
         quote inside a name twice",
    ),
    file(CSV, "smallpop-colon.csv", "147af96c89157754", 10, "ebb610de43282f62").read_as("utf-8", ":").unreadable(
        "PreflightFailed",
        "source: the file, cut at commas (detected), read as UTF-8, has the columns \"city:region:country:population\"; \
         mapping to C0__c: there is no column \"city\", only \"city:region:country:population\": if these are several, \
         set the format's `delimiter`; mapping to C1__c: there is no column \"region\", only \
         \"city:region:country:population\": if these are several, set the format's `delimiter`; mapping to C2__c: there \
         is no column \"country\", only \"city:region:country:population\": if these are several, set the format's \
         `delimiter`; mapping to C3__c: there is no column \"population\", only \"city:region:country:population\": if \
         these are several, set the format's `delimiter`",
    ),
    file(CSV, "smallpop-colon.csv", "147af96c89157754", 10, "ebb610de43282f62").read_as("utf-8", ":").with_delimiter(":"),
];
