//! What can go wrong, by what the caller can do about it. No variant carries a byte of key or content.

use crate::header::Purpose;
use crate::keys::Kid;
use crate::reasons;
use crate::ring::KeyState;

/// A record or stream was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant is documented by its message")]
pub enum OpenError {
    /// The bytes do not begin as a record does.
    #[error("this is not an encrypted record: it does not begin with the record magic")]
    NotARecord,
    /// The record has this format.
    #[error("record format {0} is not known to this version; a newer one may have written it")]
    UnknownFormat(u8),
    /// The record is sealed with this cipher suite.
    #[error("cipher suite {0} is not known to this version; a newer one may have written it")]
    UnknownSuite(u8),
    /// The record has the code of this purpose.
    #[error("record purpose {0} is not known to this version; a newer one may have written it")]
    UnknownPurpose(u16),
    /// The record is whole, and of another purpose.
    #[error("the record is a {found}, a {expected} was asked for")]
    WrongPurpose {
        /// The purpose that was asked for.
        expected: Purpose,
        /// The purpose in the header.
        found: Purpose,
    },
    /// The header names another key than the one that was given.
    #[error("the record was sealed under key {found}, not under {expected}")]
    WrongKey {
        /// The key that was given.
        expected: Kid,
        /// The key in the header.
        found: Kid,
    },
    /// The record is bound to another context, or to other key bytes of the same id.
    #[error("the record belongs to another object, endpoint or installation, or its key is another one")]
    Commitment,
    /// A chunk of the body is not as it was sealed; chunks are counted from 0.
    #[error("chunk {0} of the record was altered, moved or damaged")]
    Altered(u64),
    /// The record ends before its last chunk.
    #[error("the record was cut off")]
    Truncated,
    /// The record opened, and what it holds cannot be what its purpose says.
    #[error("the record has content of a length its purpose does not allow")]
    Malformed,
    /// The record has more chunks than the format counts.
    #[error(transparent)]
    TooLong(#[from] MessageTooLong),
}

impl OpenError {
    /// One word for a condition, an event or a metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotARecord => reasons::NOT_A_RECORD,
            Self::UnknownFormat(_) | Self::UnknownSuite(_) | Self::UnknownPurpose(_) => reasons::UNKNOWN_RECORD_VERSION,
            Self::WrongPurpose { .. } => reasons::WRONG_PURPOSE,
            Self::WrongKey { .. } => reasons::WRONG_KEY,
            Self::Commitment => reasons::BOUND_TO_ANOTHER,
            Self::Altered(_) => reasons::ALTERED,
            Self::Truncated => reasons::TRUNCATED,
            Self::Malformed => reasons::MALFORMED,
            Self::TooLong(_) => reasons::TOO_LONG,
        }
    }
}

/// More than 2³⁸ chunks: the counter of the format ends there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record holds at most 4 PiB")]
pub struct MessageTooLong;

/// The holder of the root key could not wrap or unwrap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant is documented by its message")]
pub enum CustodyError {
    /// The record names a root key that is not here.
    #[error("root key {0} is not held here; put it back, or restore the ring that was wrapped under a key that is")]
    UnknownRootKey(Kid),
    #[error(
        "the key was wrapped by provider {wrapped_by}, and the root key here is of provider {held_by}; point the region back to the one that wrapped it"
    )]
    /// Another kind of holder wrapped the key.
    OtherProvider {
        /// The kind that wrapped it, as the ring says.
        wrapped_by: String,
        /// The kind that was asked.
        held_by: &'static str,
    },
    /// The ring of root keys has none that wraps.
    #[error("no root key is active")]
    NoActiveRootKey,
    /// The root key file is empty.
    #[error("the root key file holds no key; write 32 random bytes, or lines of 64 hexadecimal digits")]
    EmptyFile,
    /// The root key file is neither 32 bytes nor text.
    #[error("the root key file has {length} bytes; write 32 random bytes, or lines of 64 hexadecimal digits")]
    BadLength {
        /// Bytes of the file.
        length: usize,
    },
    /// The root key file has 32 bytes that somebody typed.
    #[error("the root key file has 32 bytes of text; a key must be random: `head -c 32 /dev/urandom`")]
    TypedKey,
    /// A line of the root key file is no key.
    #[error("line {line} of the root key file is not 64 hexadecimal digits")]
    BadLine {
        /// Its number, from 1.
        line: usize,
    },
    /// A line of the root key file has the key of another one.
    #[error("line {line} of the root key file repeats an earlier key")]
    RepeatedLine {
        /// Its number, from 1.
        line: usize,
    },
    /// The Secret with the root keys does not hold their ring.
    #[error("the root key ring cannot be read")]
    BadRing(#[source] Box<RingError>),
    /// The record of the wrapped key does not open.
    #[error("the wrapped tenant key does not open")]
    Open(#[from] OpenError),
}

impl CustodyError {
    /// One word for a condition, an event or a metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownRootKey(_) | Self::OtherProvider { .. } => reasons::UNKNOWN_ROOT_KEY,
            Self::NoActiveRootKey => reasons::NO_ACTIVE_ROOT_KEY,
            Self::EmptyFile | Self::BadLength { .. } | Self::TypedKey | Self::BadLine { .. } | Self::RepeatedLine { .. } => {
                reasons::BAD_ROOT_KEY_FILE
            }
            Self::BadRing(_) => reasons::BAD_RING,
            Self::Open(error) => error.reason(),
        }
    }
}

/// A ring cannot be read, changed as asked, or has no key for the record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant is documented by its message")]
pub enum RingError {
    /// The ring never had this key, or this copy of the ring is older than the key.
    #[error("key {0} is not in the ring of this tenant in this region")]
    UnknownKey(Kid),
    /// The ring had this key.
    #[error("key {0} was destroyed; what it sealed is gone for good")]
    DestroyedKey(Kid),
    /// The ring has no key that seals.
    #[error("no key is active: nothing can be sealed until one is promoted")]
    NoActiveKey,
    /// What was asked for is of another tenant, Region or installation than the ring.
    #[error("the context names region, installation or tenant of another ring")]
    ForeignScope,
    /// The key cannot take this step in its state.
    #[error("key {kid} is {state}, so it cannot become {wanted}")]
    Transition {
        /// The key.
        kid: Kid,
        /// Its state now.
        state: KeyState,
        /// The state that it was to take.
        wanted: KeyState,
    },
    /// This key waits for its promotion, so none can be added.
    #[error("key {0} still waits to be promoted; only one key waits at a time")]
    AlreadyWaiting(Kid),
    /// A key of this id is in the ring.
    #[error("key {0} is in the ring already")]
    RepeatedKey(Kid),
    /// The stored ring breaks the form or a promise of its states; the text says which.
    #[error("the stored ring is not valid: {0}")]
    Invalid(String),
    /// The stored digest of a Secret cannot be read.
    #[error("the stored source digest is not of the form kid:digest")]
    BadDigest,
    /// The holder of the root key did not unwrap this key.
    #[error("the root key holder refused key {kid}")]
    Custody {
        /// The tenant key that stays shut.
        kid: Kid,
        /// What the holder said.
        source: CustodyError,
    },
    /// The record does not open under the key that it names.
    #[error("the record does not open")]
    Open(#[from] OpenError),
}

impl RingError {
    /// One word for a condition, an event or a metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownKey(_) => reasons::UNKNOWN_KEY,
            Self::DestroyedKey(_) => reasons::DESTROYED_KEY,
            Self::NoActiveKey => reasons::NO_ACTIVE_KEY,
            Self::ForeignScope => reasons::FOREIGN_SCOPE,
            Self::Transition { .. } | Self::AlreadyWaiting(_) | Self::RepeatedKey(_) => reasons::KEY_STATE,
            Self::Invalid(_) | Self::BadDigest => reasons::BAD_RING,
            Self::Custody { source, .. } => source.reason(),
            Self::Open(error) => error.reason(),
        }
    }
}
