//! Sealed records and files. The input changes one that is sealed: where its bits are zero the sealed bytes stay, what is longer comes
//! behind. Nothing but what was sealed may open.

use std::ops::Range;
use std::sync::LazyLock;

use bytes::BytesMut;
use envelope::stream::{Opener, PartOpener, SealedPart, Sealer};
use envelope::{EncryptionContext, FileKey, Header, Purpose, Scope, TenantKey, record};
use rand::SeedableRng;
use rand::rngs::StdRng;

const SECRET: &[u8] = br#"{"clientSecret":"for fuzzing only"}"#;

struct Sealed {
    key: TenantKey,
    record: Vec<u8>,
    file_key: Vec<u8>,
    file: Vec<u8>,
}

static SEALED: LazyLock<Sealed> = LazyLock::new(|| {
    let mut rng = StdRng::seed_from_u64(7);
    let (key, file_key) = (TenantKey::generate(&mut rng), FileKey::generate(&mut rng));
    let mut file = BytesMut::new();
    let bytes = file_key.to_bytes().to_vec();
    let mut sealer = Sealer::begin(file_key, &context(), &mut rng, &mut file);
    sealer.update(SECRET, &mut file).and_then(|()| sealer.finish(&mut file)).expect("short enough");
    let record = record::seal(&key, Purpose::Credential, 3, &context(), SECRET, &mut rng);
    Sealed { key, record, file_key: bytes, file: file.to_vec() }
});

fn context() -> EncryptionContext {
    let text = str::to_owned;
    EncryptionContext {
        scope: Scope { region: text("eu-frankfurt"), installation_uid: text("installation"), tenant_uid: text("tenant") },
        namespace: text("acme"),
        kind: text("Connection"),
        name: text("crm"),
        uid: text("uid"),
        endpoint_digest: text("digest"),
        field_set: [text("clientSecret")].into(),
    }
}

pub(crate) fn feed(input: &[u8]) {
    let [sizes, change @ ..] = input else { return };
    // Bytes that were never sealed: read or refused.
    if let Ok(header) = Header::parse(change) {
        assert_eq!(header.to_bytes(), change[..envelope::HEADER_LEN], "a header is written as it was read");
    }
    let sealed = &*SEALED;
    let record = changed(&sealed.record, change);
    match record::open(&sealed.key, Purpose::Credential, &context(), &record) {
        Ok(content) => assert!(record == sealed.record && *content.plaintext == *SECRET && content.version == 3, "a changed record opens"),
        Err(_) => assert!(record != sealed.record, "what was sealed does not open"),
    }
    let file = changed(&sealed.file, change);
    let (whole, parts) = (open(std::iter::once(file.as_slice())), open(super::pieces(&file, *sizes).iter().map(|piece| &piece[..])));
    assert_eq!(whole, parts, "in one piece and in several");
    assert_eq!(whole.is_ok(), file == sealed.file, "what was sealed opens, and nothing else");
    let [from, until, ..] = change else { return };
    let (from, until) = (u64::from(*from) % LENGTH, u64::from(*until) % LENGTH + 1);
    if from < until
        && let Ok(part) = open_part(&file, from..until)
    {
        assert_eq!(part, SECRET[from as usize..until as usize], "a part that opens is what was sealed there");
    }
}

/// Of the content.
const LENGTH: u64 = SECRET.len() as u64;

fn open_part(file: &[u8], content: Range<u64>) -> Result<Vec<u8>, envelope::OpenError> {
    let key = FileKey::from_bytes(SEALED.file_key.clone().into()).expect("a key of its own bytes");
    let part = SealedPart::of(content, LENGTH);
    let mut opener = PartOpener::begin(&key, &context(), file, &part)?;
    let place = |at: u64| (at as usize).min(file.len());
    let mut out = BytesMut::new();
    opener.update(&file[place(part.sealed.start)..place(part.sealed.end)], &mut out)?;
    opener.finish(&mut out)?;
    Ok(out.to_vec())
}

fn open<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<u8>, envelope::OpenError> {
    let key = FileKey::from_bytes(SEALED.file_key.clone().into()).expect("a key of its own bytes");
    let (mut opener, mut out) = (Opener::new(key, context()), BytesMut::new());
    for piece in pieces {
        opener.update(piece, &mut out)?;
    }
    opener.finish(&mut out)?;
    Ok(out.to_vec())
}

fn changed(sealed: &[u8], change: &[u8]) -> Vec<u8> {
    // A change that is shorter cuts off what it does not reach; an empty one changes nothing.
    let kept = if change.is_empty() { sealed.len() } else { change.len().min(sealed.len()) };
    let mut bytes: Vec<u8> = sealed[..kept].iter().zip(change.iter().chain(std::iter::repeat(&0))).map(|(a, b)| a ^ b).collect();
    bytes.extend(change.get(sealed.len()..).unwrap_or_default());
    bytes
}
