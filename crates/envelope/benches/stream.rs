//! How fast files are sealed and opened, on one core. `cargo bench -p envelope`; `cargo xtask bench encryption` compares it with OpenSSL.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

use bytes::BytesMut;
use envelope::stream::{Opener, Sealer, sealed_file_len};
use envelope::{EncryptionContext, FileKey, Scope};
use rand::SeedableRng;
use rand::rngs::StdRng;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

const FILE: usize = 256_000_000;
/// Fits the caches that a core has, and is long enough for the cipher to be what counts.
const SMALL_FILE: usize = 1_000_000;
/// As bytes come from a network.
const PIECE: usize = 64 << 10;
const TIMES: usize = 3;
/// One step of our format.
const CHUNK: usize = 16 << 10;

fn main() {
    println!("{} MB, the best of {TIMES}", FILE / 1_000_000);
    // Small files, again and again: like `openssl speed`, it finds its bytes in the cache, where bytes are that just came from a network.
    both("", SMALL_FILE);
    // One large file: each byte comes from main memory.
    both("-large", FILE);
    let chunk: Vec<u8> = content(CHUNK);
    timed("cipher", || cipher(&chunk));
}

/// Seals and opens files of this size, until it was as much as in every other measurement.
fn both(size: &str, file: usize) {
    let (content, times) = (content(file), FILE / file);
    // Nothing is kept while the clock runs: memory that is touched for the first time costs more than the cipher.
    let mut sealed = Vec::with_capacity(sealed_file_len(file));
    seal(&content, |bytes| sealed.extend_from_slice(bytes));
    timed(&format!("seal{size}"), || {
        let mut length = 0;
        (0..times).for_each(|_| seal(&content, |bytes| length += black_box(bytes).len()));
        assert_eq!(length, times * sealed_file_len(file));
    });
    timed(&format!("open{size}"), || (0..times).for_each(|_| assert_eq!(open(&sealed), file)));
}

fn content(length: usize) -> Vec<u8> {
    (0..length as u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

/// The same cipher with nothing around it.
fn cipher(chunk: &[u8]) {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
    let mut chunk = chunk.to_vec();
    for _ in 0..FILE / CHUNK {
        let nonce = Nonce::assume_unique_for_key([1; 12]);
        let _ = black_box(key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut chunk).unwrap());
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is about time")]
fn timed(what: &str, mut work: impl FnMut()) {
    let best = (0..TIMES)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    println!("{what} {:.1} MB/s", FILE as f64 / best / 1e6);
}

fn key() -> FileKey {
    FileKey::generate(&mut StdRng::seed_from_u64(1))
}

fn context() -> EncryptionContext {
    let text = |text: &str| text.to_owned();
    EncryptionContext {
        scope: Scope { region: text("eu-frankfurt"), installation_uid: text("installation"), tenant_uid: text("tenant") },
        namespace: text("acme"),
        kind: text("Upload"),
        name: text("file"),
        uid: text("uid"),
        endpoint_digest: String::new(),
        field_set: BTreeSet::new(),
    }
}

fn seal(content: &[u8], mut take: impl FnMut(&[u8])) {
    let mut out = BytesMut::new();
    let mut sealer = Sealer::begin(key(), &context(), &mut StdRng::seed_from_u64(2), &mut out);
    for piece in content.chunks(PIECE) {
        sealer.update(piece, &mut out).unwrap();
        take(&out);
        out.clear();
    }
    sealer.finish(&mut out).unwrap();
    take(&out);
}

/// How many bytes came out.
fn open(sealed: &[u8]) -> usize {
    let (mut opener, mut out, mut opened) = (Opener::new(key(), context()), BytesMut::new(), 0);
    for piece in sealed.chunks(PIECE) {
        opener.update(piece, &mut out).unwrap();
        opened += black_box(&out).len();
        out.clear();
    }
    opener.finish(&mut out).unwrap();
    opened + out.len()
}
