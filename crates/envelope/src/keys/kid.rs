//! The id of a key: 16 random bytes, shown as hex. Public; it tells nothing of the key.

use std::fmt;
use std::str::FromStr;

use rand::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The id of a key: 16 bytes, shown and written as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid([u8; 16]);

impl Kid {
    /// A random id.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self(super::draw(rng))
    }

    /// The id with these bytes, as a header has them.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes as a header has them.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is no id of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key id is 32 lower-case hexadecimal digits")]
pub struct KidError;

impl FromStr for Kid {
    type Err = KidError;

    fn from_str(text: &str) -> Result<Self, KidError> {
        let mut bytes = [0; 16];
        // One spelling only: the text itself is bound in contexts and compared in annotations.
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) || hex::decode_to_slice(text, &mut bytes).is_err() {
            return Err(KidError);
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Kid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Kid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kid_has_one_spelling() {
        let kid = Kid::from_bytes([0xab; 16]);
        assert_eq!(kid.to_string(), "ab".repeat(16));
        assert_eq!("ab".repeat(16).parse(), Ok(kid));
        assert_eq!("AB".repeat(16).parse::<Kid>(), Err(KidError));
        assert_eq!("ab".repeat(15).parse::<Kid>(), Err(KidError));
    }
}
