//! A tenant key as it is stored: wrapped, and by whom.

/// What came of wrapping a tenant key. Holds nothing secret in the clear.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WrappedKey {
    /// Which kind of holder of root keys wrapped it, in one word: `secret`, `file`.
    pub provider: String,
    /// Which of the holder's root keys did, as the holder names it. One that is held here goes by its kid.
    pub key_version: String,
    /// What the holder gave back. Of a root key that is held here: a record of purpose `tenant key`.
    pub ciphertext: Vec<u8>,
}
