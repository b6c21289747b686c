//! Sealed records and files. The input changes one that is sealed: where its bits are zero the sealed bytes stay, what is longer comes
//! behind. Nothing but what was sealed may open.

use std::sync::LazyLock;

use bytes::BytesMut;
use envelope::stream::{Opener, Sealer};
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
