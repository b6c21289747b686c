//! What can go wrong, by what the caller can do about it. No variant carries a byte of key or content.

use crate::header::Purpose;
use crate::keys::Kid;
use crate::reasons;
use crate::ring::KeyState;

/// A record or stream was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("this is not an encrypted record: it does not begin with the record magic")]
    NotARecord,
    #[error("record format {0} is not known to this version; a newer one may have written it")]
    UnknownFormat(u8),
    #[error("cipher suite {0} is not known to this version; a newer one may have written it")]
    UnknownSuite(u8),
    #[error("record purpose {0} is not known to this version; a newer one may have written it")]
    UnknownPurpose(u16),
    #[error("the record is a {found}, a {expected} was asked for")]
    WrongPurpose { expected: Purpose, found: Purpose },
    #[error("the record was sealed under key {found}, not under {expected}")]
    WrongKey { expected: Kid, found: Kid },
    #[error("the record belongs to another object, endpoint or installation, or its key is another one")]
    Commitment,
    #[error("chunk {0} of the record was altered, moved or damaged")]
    Altered(u64),
    #[error("the record was cut off")]
    Truncated,
    #[error("the record has content of a length its purpose does not allow")]
    Malformed,
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
pub enum CustodyError {
    #[error("root key {0} is not held here; put it back, or restore the ring that was wrapped under a key that is")]
    UnknownRootKey(Kid),
    #[error(
        "the key was wrapped by provider {wrapped_by}, and the root key here is of provider {held_by}; point the region back to the one that wrapped it"
    )]
    OtherProvider { wrapped_by: String, held_by: &'static str },
    #[error("no root key is active")]
    NoActiveRootKey,
    #[error("the root key file holds no key; write 32 random bytes, or lines of 64 hexadecimal digits")]
    EmptyFile,
    #[error("the root key file has {length} bytes; write 32 random bytes, or lines of 64 hexadecimal digits")]
    BadLength { length: usize },
    #[error("the root key file has 32 bytes of text; a key must be random: `head -c 32 /dev/urandom`")]
    TypedKey,
    #[error("line {line} of the root key file is not 64 hexadecimal digits")]
    BadLine { line: usize },
    #[error("line {line} of the root key file repeats an earlier key")]
    RepeatedLine { line: usize },
    #[error("the root key ring cannot be read")]
    BadRing(#[source] Box<RingError>),
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
pub enum RingError {
    #[error("key {0} is not in the ring of this tenant in this region")]
    UnknownKey(Kid),
    #[error("key {0} was destroyed; what it sealed is gone for good")]
    DestroyedKey(Kid),
    #[error("no key is active: nothing can be sealed until one is promoted")]
    NoActiveKey,
    #[error("the context names region, installation or tenant of another ring")]
    ForeignScope,
    #[error("key {kid} is {state}, so it cannot become {wanted}")]
    Transition { kid: Kid, state: KeyState, wanted: KeyState },
    #[error("key {0} still waits to be promoted; only one key waits at a time")]
    AlreadyWaiting(Kid),
    #[error("key {0} is in the ring already")]
    RepeatedKey(Kid),
    #[error("the stored ring is not valid: {0}")]
    Invalid(String),
    #[error("the stored source digest is not of the form kid:digest")]
    BadDigest,
    #[error("the root key holder refused key {kid}")]
    Custody { kid: Kid, source: CustodyError },
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
