//! Walks `tests/vectors/`: records of this format made by another implementation (pyca/cryptography's Cobblestone under headers and contexts written
//! from the format page), each file with what must come of it. What opens must also be sealed again to the same bytes.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::BytesMut;
use rand::{CryptoRng, RngCore};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::context::{EncryptionContext, Scope};
use crate::error::OpenError;
use crate::header::{HEADER_LEN, Header, Purpose};
use crate::keys::{FileKey, KeyBytes, Kid, TenantKey};
use crate::record;
use crate::stream::{Opener, Sealer};

struct Vector {
    name: String,
    lines: BTreeMap<String, String>,
}

impl Vector {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.map(|line| line.split_once(':').unwrap()).map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect();
        Self { name: path.file_name().unwrap().to_string_lossy().into_owned(), lines }
    }

    fn text(&self, line: &str) -> String {
        self.lines.get(line).unwrap_or_else(|| panic!("{} has no line {line}", self.name)).clone()
    }

    fn bytes(&self, line: &str) -> Vec<u8> {
        hex::decode(self.text(line)).unwrap()
    }

    fn purpose(&self) -> Purpose {
        let all = [Purpose::TenantKey, Purpose::FileKey, Purpose::Credential, Purpose::File, Purpose::Cursor];
        all.into_iter().find(|purpose| purpose.to_string() == self.text("purpose")).unwrap()
    }

    fn tenant_key(&self) -> TenantKey {
        TenantKey { kid: self.kid(), bytes: KeyBytes::from_slice(&self.bytes("key")).unwrap() }
    }

    fn file_key(&self) -> FileKey {
        FileKey::from_bytes(Zeroizing::new([self.bytes("kid"), self.bytes("key")].concat())).unwrap()
    }

    fn kid(&self) -> Kid {
        self.text("kid").parse().unwrap()
    }

    fn context(&self) -> EncryptionContext {
        EncryptionContext {
            scope: Scope { region: self.text("region"), installation_uid: self.text("installation"), tenant_uid: self.text("tenant") },
            namespace: self.text("namespace"),
            kind: self.text("kind"),
            name: self.text("name"),
            uid: self.text("uid"),
            endpoint_digest: self.text("endpoint"),
            field_set: self.text("fields").split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        }
    }

    fn open(&self) -> Result<(u64, Vec<u8>), OpenError> {
        let record = self.bytes("record");
        if self.purpose() == Purpose::File {
            let mut out = BytesMut::new();
            let mut opener = Opener::new(self.file_key(), self.context());
            opener.update(&record, &mut out)?;
            opener.finish(&mut out)?;
            return Ok((Header::parse(&record)?.version, out.to_vec()));
        }
        let content = record::open(&self.tenant_key(), self.purpose(), &self.context(), &record)?;
        Ok((content.version, content.plaintext.to_vec()))
    }

    /// Seals `content` with the salt of the record.
    fn seal(&self, version: u64, content: &[u8]) -> Vec<u8> {
        let mut salt = Fixed(self.bytes("record")[HEADER_LEN..HEADER_LEN + 24].to_vec());
        if self.purpose() == Purpose::File {
            let mut out = BytesMut::new();
            let mut sealer = Sealer::begin(self.file_key(), &self.context(), &mut salt, &mut out);
            sealer.update(content, &mut out).unwrap();
            sealer.finish(&mut out).unwrap();
            return out.into();
        }
        record::seal(&self.tenant_key(), self.purpose(), version, &self.context(), content, &mut salt)
    }
}

/// A generator that gives out these bytes, once.
struct Fixed(Vec<u8>);

impl RngCore for Fixed {
    fn next_u32(&mut self) -> u32 {
        only_bytes()
    }
    fn next_u64(&mut self) -> u64 {
        only_bytes()
    }
    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0.drain(..bytes.len()).collect::<Vec<u8>>());
    }
}

impl CryptoRng for Fixed {}

fn only_bytes() -> ! {
    panic!("sealing draws bytes only")
}

#[test]
fn records_of_another_implementation_come_out_as_their_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let vector = Vector::read(&entry.unwrap().path());
        let expected = vector.text("expect");
        match vector.open() {
            Err(error) => assert_eq!(format!("fails {}", error.reason()), expected, "{}", vector.name),
            Ok((version, content)) => {
                assert_eq!(format!("opens version {version}"), expected, "{}", vector.name);
                assert_eq!(hex::encode(Sha256::digest(&content)), vector.text("content-sha256"), "{}", vector.name);
                assert!(vector.seal(version, &content) == vector.bytes("record"), "{} seals to other bytes", vector.name);
            }
        }
        seen += 1;
    }
    assert!(seen >= 30, "only {seen} vectors were found");
}
