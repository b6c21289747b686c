//! Which sheets a workbook has and where its parts are, as ECMA-376 has it: a list of parts at the top leads to the workbook, and a list
//! beside the workbook to sheets, texts and styles. No name of a part is taken for granted.

use super::error::{Part, WorkbookError};
use super::options::Wanted;
use super::package::Package;
use super::serial::Epoch;
use super::xml::{Token, Xml};

/// Where what is wanted of a workbook is.
pub(super) struct Workbook {
    pub(super) epoch: Epoch,
    /// The name of the sheet that is read, as its tab shows it.
    pub(super) name: String,
    /// Names of parts.
    pub(super) sheet: String,
    pub(super) strings: Option<String>,
    pub(super) styles: Option<String>,
}

/// A sheet as the workbook lists it.
pub(super) struct Listed<P> {
    pub(super) name: String,
    pub(super) visible: bool,
    /// Where its cells are; a chart or a macro has none.
    pub(super) cells: Option<P>,
}

/// The name of the sheet that is wanted, and where its cells are.
pub(super) fn choose<P: Clone>(sheets: &[Listed<P>], wanted: &Wanted) -> Result<(String, P), WorkbookError> {
    let mut all = sheets.iter().enumerate();
    let found = all.find(|(at, sheet)| wanted.is(*at, &sheet.name, sheet.visible && sheet.cells.is_some()));
    let (_, found) = found.ok_or_else(|| wanted.missing(sheets.iter().map(|sheet| sheet.name.clone()).collect()))?;
    let cells = found.cells.clone().ok_or_else(|| WorkbookError::NotCells { name: found.name.clone() })?;
    Ok((found.name.clone(), cells))
}

/// What a part leads to.
pub(super) struct Relations(Vec<Relation>);

struct Relation {
    id: String,
    /// The last word of its type: `worksheet`, `styles`.
    kind: String,
    target: String,
}

/// The part that is the workbook itself, if the archive has one.
pub(super) fn find(package: &Package) -> Result<Option<String>, WorkbookError> {
    Ok(Relations::read(package, "")?.of_kind("officeDocument"))
}

impl Workbook {
    /// The sheet of this part, and what it shares with others.
    pub(super) fn new(relations: &Relations, epoch: Epoch, name: String, sheet: String) -> Self {
        Self { epoch, name, sheet, strings: relations.of_kind("sharedStrings"), styles: relations.of_kind("styles") }
    }

    pub(super) fn read(package: &Package, part: &str, wanted: &Wanted) -> Result<Self, WorkbookError> {
        let damaged = || WorkbookError::Damaged { part: Part::Workbook };
        let mut xml = Xml::new(package.part(part, Part::Workbook)?.ok_or_else(damaged)?);
        let relations = Relations::read(package, part)?;
        let (mut sheets, mut epoch) = (Vec::new(), Epoch::From1900);
        loop {
            match xml.next()? {
                Token::Start(element) => match element.name() {
                    b"workbookPr" if element.says("date1904") => epoch = Epoch::From1904,
                    b"sheet" => sheets.push(Listed {
                        name: element.attribute("name").ok_or_else(damaged)?,
                        visible: element.attribute("state").is_none_or(|state| state == "visible"),
                        cells: relations.cells(&element.attribute("id").ok_or_else(damaged)?),
                    }),
                    _ => {}
                },
                Token::End(_) | Token::Text(_) | Token::Nothing => {}
                Token::Over => break,
            }
        }
        let (name, sheet) = choose(&sheets, wanted)?;
        Ok(Self::new(&relations, epoch, name, sheet))
    }
}

impl Relations {
    /// Those of a part; the whole archive has no name.
    pub(super) fn read(package: &Package, part: &str) -> Result<Self, WorkbookError> {
        let (folder, name) = part.rsplit_once('/').unwrap_or(("", part));
        let list = resolve(folder, &format!("_rels/{name}.rels"));
        let Some(list) = package.part(&list, Part::Relations)? else { return Ok(Self(Vec::new())) };
        let (mut xml, mut found) = (Xml::new(list), Vec::new());
        loop {
            match xml.next()? {
                Token::Start(element) if element.name() == b"Relationship" => {
                    let (id, kind, target) = (element.attribute("Id"), element.attribute("Type"), element.attribute("Target"));
                    if let (Some(id), Some(kind), Some(target)) = (id, kind, target) {
                        let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
                        found.push(Relation { id, kind, target: resolve(folder, &target) });
                    }
                }
                Token::Start(_) | Token::End(_) | Token::Text(_) | Token::Nothing => {}
                Token::Over => return Ok(Self(found)),
            }
        }
    }

    /// The part of this kind.
    pub(super) fn of_kind(&self, kind: &str) -> Option<String> {
        self.0.iter().find(|relation| relation.kind == kind).map(|relation| relation.target.clone())
    }

    /// The part of a sheet with cells.
    pub(super) fn cells(&self, id: &str) -> Option<String> {
        let found = self.0.iter().find(|relation| relation.id == id && relation.kind == "worksheet")?;
        Some(found.target.clone())
    }
}

/// The name of a part that is named from a folder.
fn resolve(folder: &str, target: &str) -> String {
    let target = target.replace('\\', "/");
    let (from, target) = match target.strip_prefix('/') {
        Some(target) => ("", target),
        None => (folder, target.as_str()),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in from.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_from_where_they_are_told() {
        for (folder, target, expected) in [
            ("xl", "worksheets/sheet1.xml", "xl/worksheets/sheet1.xml"),
            ("xl", "/xl/worksheets/sheet1.xml", "xl/worksheets/sheet1.xml"),
            ("xl", "../custom/s.xml", "custom/s.xml"),
            ("", "xl\\workbook.xml", "xl/workbook.xml"),
            ("", "../../x", "x"),
        ] {
            assert_eq!(resolve(folder, target), expected);
        }
    }
}
