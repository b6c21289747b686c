//! Suite 1, Cobblestone-256: C2SP chunked encryption with AES-256-GCM and HKDF-Expand over SHA-512.
//!
//! It turns an input key, a salt and a context into chunks, and knows nothing of headers, rings or what a context means.

mod body;
mod cipher;
mod single_use;
#[cfg(test)]
mod vectors;

pub(crate) use body::{Decryptor, Encryptor, sealed_len};
pub(crate) use cipher::{ChunkCipher, Ring, RustCrypto};
pub(crate) use single_use::{Salt, SingleUse};

/// Bytes of content in every chunk but the last, which is always shorter.
pub(crate) const CHUNK: usize = 16 * 1024;
pub(crate) const TAG: usize = 16;
/// Bytes of a full chunk once sealed.
pub(crate) const SEALED_CHUNK: usize = CHUNK + TAG;
/// Salt and commitment before the first chunk.
pub(crate) const PREFIX: usize = SALT + COMMITMENT;

const SALT: usize = 24;
const COMMITMENT: usize = 32;
const KEY: usize = 32;
const NONCE: usize = 12;
/// The chunk counter stops here: 2³⁸ chunks of 16 KiB are 4 PiB.
const MAX_CHUNKS: u64 = 1 << 38;
