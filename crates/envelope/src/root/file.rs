//! Root keys from the content of a file: 32 random bytes, or text with one key a line of which the first wraps.
//! The administrator who maintains the file rotates by putting a new line on top.

use rand::CryptoRng;

use super::{RootCustody, unwrap_under, wrap_under};
use crate::context::EncryptionContext;
use crate::error::CustodyError;
use crate::header::Header;
use crate::keys::{KeyBytes, Kid, RootKey, TenantKey, hkdf_expand};

const KID_LABEL: &[u8] = b"dataimporter.io/root-kid@v1";

/// Root keys that an administrator keeps in a file.
pub struct FileRoot {
    /// Never empty.
    keys: Vec<RootKey>,
}

impl FileRoot {
    /// Reads the file's content. The caller wipes it.
    ///
    /// # Errors
    /// [`CustodyError::TypedKey`], [`CustodyError::EmptyFile`], [`CustodyError::BadLength`], [`CustodyError::BadLine`] or
    /// [`CustodyError::RepeatedLine`] when it does not hold what a root key is.
    pub fn parse(content: impl AsRef<[u8]>) -> Result<Self, CustodyError> {
        let content = content.as_ref();
        if content.len() == 32 && content.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            return Err(CustodyError::TypedKey);
        }
        match KeyBytes::from_slice(content) {
            Some(key) => Ok(Self { keys: vec![root_key(key)] }),
            None => Self::parse_lines(std::str::from_utf8(content).map_err(|_| CustodyError::BadLength { length: content.len() })?),
        }
    }

    fn parse_lines(content: &str) -> Result<Self, CustodyError> {
        let mut keys: Vec<RootKey> = Vec::new();
        for (number, line) in content.lines().enumerate() {
            let (line, number) = (line.trim(), number + 1);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = root_key(KeyBytes::from_hex(line).ok_or(CustodyError::BadLine { line: number })?);
            if keys.iter().any(|earlier| earlier.kid == key.kid) {
                return Err(CustodyError::RepeatedLine { line: number });
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(CustodyError::EmptyFile) } else { Ok(Self { keys }) }
    }

    /// The ids of all keys in the file, first the one that wraps. A line may go once no ring is wrapped under its id.
    pub fn kids(&self) -> impl Iterator<Item = Kid> {
        self.keys.iter().map(|key| key.kid)
    }
}

/// A file has no place for an id, so the id is derived.
fn root_key(bytes: KeyBytes) -> RootKey {
    let kid = hkdf_expand::<16>(bytes.expose(), &[KID_LABEL]);
    RootKey { kid: Kid::from_bytes(*kid), bytes }
}

impl RootCustody for FileRoot {
    fn wrapping_kid(&self) -> Result<Kid, CustodyError> {
        Ok(self.keys[0].kid)
    }

    fn wrap(&self, key: &TenantKey, version: u64, context: &EncryptionContext, rng: &mut dyn CryptoRng) -> Result<Vec<u8>, CustodyError> {
        Ok(wrap_under(&self.keys[0], key, version, context, rng))
    }

    fn unwrap(&self, kid: Kid, context: &EncryptionContext, record: &[u8]) -> Result<TenantKey, CustodyError> {
        let root = Header::parse(record)?.kid;
        let held = self.keys.iter().find(|key| key.kid == root).ok_or(CustodyError::UnknownRootKey(root))?;
        unwrap_under(held, kid, context, record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::samples;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn line(digit: &str) -> String {
        digit.repeat(64)
    }

    #[test]
    fn the_first_line_wraps_and_the_others_still_unwrap() {
        let mut rng = StdRng::seed_from_u64(1);
        let key = TenantKey::generate(&mut rng);
        let old = FileRoot::parse(line("a")).ok().unwrap();
        let wrapped = old.wrap(&key, 1, &samples::context(), &mut rng).unwrap();

        let both = FileRoot::parse(format!("# rotated\n\n{}\n{}\n", line("b"), line("a"))).ok().unwrap();
        assert_ne!(both.wrapping_kid(), old.wrapping_kid());
        assert_eq!(both.kids().nth(1), old.wrapping_kid().ok());
        let unwrapped = both.unwrap(key.kid(), &samples::context(), &wrapped).ok().unwrap();
        assert_eq!(unwrapped.bytes.expose(), key.bytes.expose());

        let new = FileRoot::parse(line("b")).ok().unwrap();
        let error = new.unwrap(key.kid(), &samples::context(), &wrapped).err().unwrap();
        assert_eq!(error, CustodyError::UnknownRootKey(old.wrapping_kid().unwrap()));
    }

    #[test]
    fn a_file_that_is_not_keys_is_refused_by_line() {
        let refusal = |content: &str| FileRoot::parse(content).err();
        assert_eq!(refusal("# nothing yet\n"), Some(CustodyError::EmptyFile));
        assert_eq!(refusal(&format!("{}\nabc\n", line("a"))), Some(CustodyError::BadLine { line: 2 }));
        assert_eq!(refusal(&format!("{}\n\n{}\n", line("a"), line("A"))), Some(CustodyError::RepeatedLine { line: 3 }));
        assert_eq!(refusal("correct horse battery staple !!!"), Some(CustodyError::TypedKey));
        assert_eq!(FileRoot::parse([0xff; 33]).err(), Some(CustodyError::BadLength { length: 33 }));
    }

    #[test]
    fn the_32_bytes_of_a_file_and_their_hex_digits_are_the_same_key() {
        let raw = FileRoot::parse([0xaa; 32]).ok().unwrap();
        assert_eq!(raw.wrapping_kid(), FileRoot::parse(line("a")).ok().unwrap().wrapping_kid());
    }
}
