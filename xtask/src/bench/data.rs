//! The file that is loaded: made here, the same bytes at every place and time.
//!
//! Ten columns of a customer list, 163 bytes a row. Words and numbers are drawn, not repeated, because what is in memory may be
//! compressed: a file that repeats itself would make memory look smaller than it is with people's files. `gzip -1` makes a third of it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What stands in each column, and the field of an Account that it becomes.
pub(super) const COLUMNS: [(&str, &str); 10] = [
    ("Customer", "External_Id__c"),
    ("Company", "Name"),
    ("Street", "BillingStreet"),
    ("City", "BillingCity"),
    ("Postal code", "BillingPostalCode"),
    ("Country", "BillingCountry"),
    ("Phone", "Phone"),
    ("Website", "Website"),
    ("Employees", "NumberOfEmployees"),
    ("Remark", "Description"),
];

/// Whose words stand in the first line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Header {
    /// A person's: what our mapping is for.
    Columns,
    /// Salesforce's own: for clients that map nothing.
    Fields,
}

/// Files made by another version of this one are not used.
const VERSION: u32 = 1;

/// The file with so many rows in `folder`, made if it is not there.
pub(super) fn file(folder: &Path, rows: u64, header: Header) -> Result<PathBuf> {
    let kind = if header == Header::Columns { "columns" } else { "fields" };
    let path = folder.join(format!("customers-{rows}-{kind}-v{VERSION}.csv"));
    if !path.exists() {
        let part = path.with_extension("part");
        let written = || -> io::Result<()> {
            let mut out = BufWriter::with_capacity(1 << 20, File::create(&part)?);
            write(&mut out, rows, header)?;
            out.into_inner()?.sync_all()?;
            std::fs::rename(&part, &path)
        };
        written().with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(path)
}

pub(super) fn bytes(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len())
}

fn write(out: &mut impl Write, rows: u64, header: Header) -> io::Result<()> {
    let names = COLUMNS.map(|(column, field)| if header == Header::Columns { column } else { field });
    writeln!(out, "{}", names.join(","))?;
    let (words, mut line) = (Words::new(), String::new());
    for number in 1..=rows {
        line.clear();
        row(&mut line, &words, number);
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}

fn row(line: &mut String, words: &Words, number: u64) {
    use std::fmt::Write as _;
    let mut draw = Draw(number);
    let (first, second) = (draw.of(&words.names), draw.of(&words.names));
    // A String takes everything.
    let _ = write!(
        line,
        "C{number:08},{first} {second} {},{} {} {},{},{:05},{},+{} {:03} {:07},https://www.{}-{}.example,{},",
        draw.of(&words.forms),
        draw.below(220) + 1,
        draw.of(&words.names),
        draw.of(&words.ways),
        draw.of(&words.cities),
        draw.below(100_000),
        draw.of(&words.countries),
        draw.below(90) + 10,
        draw.below(1_000),
        draw.below(10_000_000),
        first.to_ascii_lowercase(),
        draw.below(100_000),
        draw.below(20_000) + 1,
    );
    // Every tenth remark has to be quoted.
    let quoted = number.is_multiple_of(10);
    line.push_str(if quoted { "\"asked for \"\"" } else { "" });
    for word in 0..6 {
        line.push_str(if word > 0 { " " } else { "" });
        line.push_str(draw.of(&words.words));
    }
    line.push_str(if quoted { "\"\", twice\"\n" } else { "\n" });
}

/// Numbers that look random and are the same for the same row (SplitMix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn of(&mut self, words: &[&'static str]) -> &'static str {
        words[(self.next() % words.len() as u64) as usize]
    }
}

const NAMES: &str = "Abel,Adler,Albrecht,Arnold,Baker,Bergmann,Brandt,Carter,Chen,Dietrich,Dubois,Ebert,Falk,Fischer,Garcia,Graham,\
    Haas,Hansen,Ivanov,Jensen,Kaiser,Keller,Lambert,Lindberg,Marino,Meyer,Moreau,Nakamura,Novak,Olsen,Petit,Quinn,Rossi,Santos,\
    Schubert,Tanaka,Ullmann,Vogel,Weber,Young";
const FORMS: &str = "GmbH,AG,Ltd,Inc,SARL,BV,Oy,Pty Ltd";
const WAYS: &str = "Street,Road,Avenue,Lane,Square,Way";
const CITIES: &str = "Frankfurt am Main,Berlin,Hamburg,Dallas,Austin,Houston,Sydney,Melbourne,Perth,Paris,Lyon,Nantes,Milano,Torino,Madrid,\
    Sevilla,Lisboa,Porto,Oslo,Bergen,Helsinki,Turku,Wien,Graz";
const COUNTRIES: &str = "DE,US,AU,FR,IT,ES,PT,NO,FI,AT";
const WORDS: &str = "account,advice,annual,answer,branch,budget,calendar,campaign,catalogue,central,chamber,change,colour,contract,corner,\
    delivery,demand,deposit,detail,discount,district,early,engine,entry,estimate,export,factor,family,figure,freight,garden,general,\
    harbour,holiday,import,invoice,journal,kitchen,ladder,letter,market,meeting,minute,monthly,notice,number,office,option,parcel,\
    partner,payment,pending,quarter,receipt,renewal,request,sample,season,service,station,supply,transfer,voucher,weekly";

/// The lists, taken apart once.
struct Words {
    names: Vec<&'static str>,
    forms: Vec<&'static str>,
    ways: Vec<&'static str>,
    cities: Vec<&'static str>,
    countries: Vec<&'static str>,
    words: Vec<&'static str>,
}

impl Words {
    fn new() -> Self {
        let list = |text: &'static str| text.split(',').collect();
        Self {
            names: list(NAMES),
            forms: list(FORMS),
            ways: list(WAYS),
            cities: list(CITIES),
            countries: list(COUNTRIES),
            words: list(WORDS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rows: u64, header: Header) -> String {
        let mut out = Vec::new();
        write(&mut out, rows, header).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_row_is_the_same_every_time_and_no_other() {
        let text = text(3, Header::Columns);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "Customer,Company,Street,City,Postal code,Country,Phone,Website,Employees,Remark");
        let first = "C00000001,Meyer Young Oy,96 Adler Avenue,Turku,60533,DE,+20 737 8703870,https://www.meyer-90784.example,16523,";
        assert_eq!(lines[1], format!("{first}market station invoice partner office catalogue"));
        assert_ne!(lines[1][9..], lines[2][9..]);
    }

    #[test]
    fn the_header_is_a_persons_or_salesforces_and_the_rows_do_not_change() {
        let (columns, fields) = (text(20, Header::Columns), text(20, Header::Fields));
        let (first, rows) = fields.split_once('\n').unwrap();
        assert!(first.starts_with("External_Id__c,Name,BillingStreet,"), "{first}");
        assert_eq!(columns.split_once('\n').unwrap().1, rows);
        assert_eq!(rows.lines().filter(|line| line.ends_with("\"\", twice\"")).count(), 2);
    }

    #[test]
    fn a_million_rows_are_about_163_megabytes() {
        let bytes = text(20_000, Header::Fields).len() * 50;
        assert!((162_500_000..163_500_000).contains(&bytes), "{bytes}");
    }
}
