//! The text of a cell: its paragraphs, without what is only attached to it.

use crate::source::excel::error::WorkbookError;
use crate::source::excel::limits::MAX_PIECE;
use crate::source::excel::xml::{Token, Xml};

/// The text of one cell.
#[derive(Default)]
pub(super) struct Paragraphs {
    pub(super) text: String,
    /// How many there are; an empty one is one all the same.
    pub(super) count: usize,
    /// Blanks that stand there as their number.
    pub(super) blanks: usize,
}

impl Paragraphs {
    /// Reads up to the end of the cell. Blanks and line ends within a paragraph stay, as they do in LibreOffice.
    pub(super) fn read(&mut self, xml: &mut Xml) -> Result<(), WorkbookError> {
        // Elements that are open, from the paragraph on.
        let mut within = 0_usize;
        // A cell that was large gives its memory back.
        if self.text.capacity() > 1 << 20 {
            self.text = String::new();
        }
        self.text.clear();
        (self.count, self.blanks) = (0, 0);
        loop {
            match xml.next()? {
                Token::Start(element) => match element.name() {
                    b"p" | b"h" if within == 0 => {
                        if self.count > 0 {
                            self.text.push('\n');
                        }
                        self.count += 1;
                        within = 1;
                    }
                    // Comments, pictures, footnotes and how a text is pronounced.
                    b"p" | b"h" | b"annotation" | b"frame" | b"note" | b"ruby-text" => xml.skip()?,
                    _ if within == 0 => xml.skip()?,
                    b"s" => {
                        let blanks = element.attribute("c").map_or(Some(1), |count| count.parse().ok());
                        let blanks: usize = blanks.ok_or_else(|| xml.damaged())?;
                        xml.check_text(self.text.len().saturating_add(blanks))?;
                        self.blanks += blanks;
                        self.text.push_str(&" ".repeat(blanks.min(MAX_PIECE)));
                        within += 1;
                    }
                    name => {
                        match name {
                            b"tab" => self.text.push('\t'),
                            b"line-break" => self.text.push('\n'),
                            _ => {}
                        }
                        within += 1;
                    }
                },
                Token::Text(piece) if within > 0 => {
                    self.text.push_str(&piece);
                    xml.check_text(self.text.len())?;
                }
                Token::End(_) if within > 0 => within -= 1,
                Token::End(_) => return Ok(()),
                Token::Text(_) | Token::Nothing => {}
                Token::Over => return Err(xml.damaged()),
            }
        }
    }
}
