//! The 32 bytes every record begins with. They name the key; they say nothing of what is inside, and are authentic only once the body opened.

use std::fmt;

use crate::error::OpenError;
use crate::keys::Kid;

/// Bytes of a header.
/// It is fixed by `docs/formats/record.md`.
pub const HEADER_LEN: usize = 32;

const MAGIC: [u8; 4] = *b"DIMP";
const FORMAT: u8 = 1;
const SUITE_COBBLESTONE_256: u8 = 1;

/// What a record holds; bound, so that one kind of record can never stand in for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A tenant key under the region's root key.
    TenantKey = 1,
    /// A file's key under the tenant key.
    FileKey = 2,
    /// Parameters of a Connection under the tenant key.
    Credential = 3,
    /// The bytes of a file under its own key.
    File = 4,
    /// Where a run goes on in its source (values of the last row read), under the tenant key.
    Cursor = 5,
}

impl Purpose {
    fn from_code(code: u16) -> Option<Self> {
        [Self::TenantKey, Self::FileKey, Self::Credential, Self::File, Self::Cursor].into_iter().find(|purpose| *purpose as u16 == code)
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TenantKey => "tenant key",
            Self::FileKey => "file key",
            Self::Credential => "credential",
            Self::File => "file",
            Self::Cursor => "cursor",
        })
    }
}

/// The readable beginning of a record. Nothing of it may be believed before the body opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the record says it holds.
    pub purpose: Purpose,
    /// The key that the record says it was sealed under.
    pub kid: Kid,
    /// How often the content was sealed, from 1: an older record of the same object has a smaller one.
    pub version: u64,
}

impl Header {
    /// Reads the header at the start of `record`.
    ///
    /// # Errors
    /// [`OpenError::NotARecord`] or [`OpenError::Truncated`] when there is no whole header, [`OpenError::UnknownFormat`],
    /// [`OpenError::UnknownSuite`] or [`OpenError::UnknownPurpose`] when it is of another version.
    pub fn parse(record: &[u8]) -> Result<Self, OpenError> {
        if record.len() < HEADER_LEN {
            // Too short to tell; a proper beginning means it was cut, anything else is no record of ours.
            let cut = record.len().min(MAGIC.len());
            return Err(if record[..cut] == MAGIC[..cut] { OpenError::Truncated } else { OpenError::NotARecord });
        }
        if record[..4] != MAGIC {
            return Err(OpenError::NotARecord);
        }
        if record[4] != FORMAT {
            return Err(OpenError::UnknownFormat(record[4]));
        }
        if record[5] != SUITE_COBBLESTONE_256 {
            return Err(OpenError::UnknownSuite(record[5]));
        }
        let code = u16::from_be_bytes([record[6], record[7]]);
        let purpose = Purpose::from_code(code).ok_or(OpenError::UnknownPurpose(code))?;
        let mut kid = [0; 16];
        kid.copy_from_slice(&record[8..24]);
        let mut version = [0; 8];
        version.copy_from_slice(&record[24..32]);
        Ok(Self { purpose, kid: Kid::from_bytes(kid), version: u64::from_be_bytes(version) })
    }

    /// The header as it stands in a record: magic, format, suite, purpose, kid, version, numbers in network byte order.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = FORMAT;
        bytes[5] = SUITE_COBBLESTONE_256;
        bytes[6..8].copy_from_slice(&(self.purpose as u16).to_be_bytes());
        bytes[8..24].copy_from_slice(self.kid.as_bytes());
        bytes[24..].copy_from_slice(&self.version.to_be_bytes());
        bytes
    }

    /// The header, if it is one of a record of `purpose` under key `kid`.
    pub(crate) fn expect(record: &[u8], purpose: Purpose, kid: Kid) -> Result<Self, OpenError> {
        let header = Self::parse(record)?;
        if header.purpose != purpose {
            return Err(OpenError::WrongPurpose { expected: purpose, found: header.purpose });
        }
        if header.kid != kid {
            return Err(OpenError::WrongKey { expected: kid, found: header.kid });
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header { purpose: Purpose::Credential, kid: Kid::from_bytes([7; 16]), version: 0x0102_0304_0506_0708 }
    }

    #[test]
    fn the_bytes_are_those_of_the_format_page() {
        let bytes = header().to_bytes();
        assert_eq!(hex::encode(bytes), "44494d500101000307070707070707070707070707070707".to_owned() + "0102030405060708");
        assert_eq!(Header::parse(&bytes), Ok(header()));
    }

    #[test]
    fn each_unknown_number_has_its_own_error() {
        let mut bytes = header().to_bytes();
        bytes[4] = 2;
        assert_eq!(Header::parse(&bytes), Err(OpenError::UnknownFormat(2)));
        bytes = header().to_bytes();
        bytes[5] = 9;
        assert_eq!(Header::parse(&bytes), Err(OpenError::UnknownSuite(9)));
        bytes = header().to_bytes();
        bytes[6] = 1;
        assert_eq!(Header::parse(&bytes), Err(OpenError::UnknownPurpose(0x0103)));
        assert_eq!(Header::parse(b"Id,Name\n001,Acme\n"), Err(OpenError::NotARecord));
        assert_eq!(Header::parse(&header().to_bytes()[..31]), Err(OpenError::Truncated));
        assert_eq!(Header::parse(b""), Err(OpenError::Truncated));
    }
}
