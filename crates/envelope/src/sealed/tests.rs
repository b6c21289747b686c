use jiff::Timestamp;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::context::samples::scope;
use crate::ring::{Observed, Policy, RootRing, Step, TenantRing};
use crate::root::SecretRoot;

/// The recipient of RFC 9180's vectors for this suite.
const RECIPIENT: &str = "497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d";

fn destination() -> Destination {
    Destination {
        region: "eu-frankfurt".into(),
        installation_uid: "11111111-aaaa".into(),
        tenant: "acme".into(),
        namespace: "acme-prod".into(),
        connection: "crm".into(),
        endpoint_digest: "9f86d081884c7d65".into(),
        entries: ["password", "username"].map(String::from).into(),
    }
}

fn entries() -> Entries {
    [("password", "s3cret\n"), ("username", "loader")].map(|(name, value)| (name.to_owned(), Zeroizing::new(value.into()))).into()
}

fn unhex<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn recipient() -> SealKey {
    SealKey::of(Kid::from_bytes([7; 16]), &unhex(RECIPIENT))
}

/// RFC 9180's vectors, mode 0, KEM 0x0020, KDF 0x0001, AEAD 0x0002, first message.
#[test]
fn the_suite_is_that_of_the_published_vectors() {
    let key = recipient();
    assert_eq!(hex::encode(key.public.bytes), "430f4b9859665145a6b1ba274024487bd66f03a2dd577d7753c68d7d7d00c00c");
    let enc = EncapsulatedSecret(hex::decode("6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256").unwrap());
    let ciphertext = hex::decode("e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a").unwrap();
    let opened = SUITE.open(&enc, b"Ode on a Grecian Urn", b"Count-0", &ciphertext, &key.private).unwrap();
    assert_eq!(opened, b"Beauty is truth, truth beauty");
    assert!(SUITE.open(&enc, b"Ode on a Grecian Urn", b"Count-1", &ciphertext, &key.private).is_err());
}

/// Sealed after `docs/formats/sealed.md` by Go's `crypto/hpke`, which shares no code with us.
#[test]
fn what_another_implementation_sealed_opens() {
    let sealed = Sealed {
        kid: "07".repeat(16),
        enc: "hQH6v9VLNo3MFuE8Fjja68fMFPjQ/jEgzCa+EerX3Xs=".into(),
        ciphertext: "CHHbhTfae7ZULJAZ4d1gPHBsc4yLQSxKhkJhdH/PCOB1hWMZyh2u25GKafaa4s2OLgXec6PiDzvgeH4vzBTMvWihVA==".into(),
    };
    assert_eq!(recipient().open(&destination(), &sealed), Ok(entries()));
}

#[test]
fn a_public_key_survives_its_text() {
    let key = recipient();
    let text = key.public().to_base64();
    let read = PublicSealKey::from_base64(key.public().kid, &text).unwrap();
    assert_eq!(&read, key.public());
    let sealed = read.seal(&destination(), &entries()).unwrap();
    assert_eq!(key.open(&destination(), &sealed), Ok(entries()));
    for wrong in ["", "AAAA", &text[..40], "not base64"] {
        assert_eq!(PublicSealKey::from_base64(read.kid, wrong), None, "{wrong}");
    }
}

/// A public key of small order would give everybody the shared secret.
#[test]
fn a_key_that_is_no_secret_is_refused() {
    let zero = PublicSealKey { kid: Kid::from_bytes([1; 16]), bytes: [0; KEY] };
    assert_eq!(zero.seal(&destination(), &entries()), Err(SealError::BadKey));
}

#[test]
fn exactly_the_entries_of_the_destination_are_sealed() {
    let key = recipient();
    let mut fewer = entries();
    fewer.remove("username");
    assert_eq!(key.public().seal(&destination(), &fewer), Err(SealError::Entries));
    let mut more = entries();
    more.insert("token".into(), Zeroizing::new(b"x".to_vec()));
    assert_eq!(key.public().seal(&destination(), &more), Err(SealError::Entries));
}

#[test]
fn a_length_says_little() {
    let length = |password: &[u8]| {
        let mut entries = entries();
        entries.insert("password".into(), Zeroizing::new(password.to_vec()));
        recipient().public().seal(&destination(), &entries).unwrap().ciphertext.len()
    };
    assert_eq!(length(b"short"), length(&[b'x'; 100]));
    assert!(length(&[b'x'; 1000]) > length(b"short"));
}

/// What somebody may have written by hand is refused, and nothing of it is tried.
#[test]
fn what_is_no_sealed_credential_is_malformed() {
    let key = recipient();
    let good = key.public().seal(&destination(), &entries()).unwrap();
    let with = |change: &dyn Fn(&mut Sealed)| {
        let mut sealed = good.clone();
        change(&mut sealed);
        key.open(&destination(), &sealed)
    };
    assert_eq!(with(&|_| {}), Ok(entries()));
    for enc in ["", "AAAA", "?"] {
        assert_eq!(with(&|sealed| sealed.enc = enc.into()), Err(SealError::Malformed), "{enc}");
    }
    assert_eq!(with(&|sealed| sealed.ciphertext = "?".into()), Err(SealError::Malformed));
    assert_eq!(with(&|sealed| sealed.ciphertext = String::new()), Err(SealError::NotForHere));
    assert_eq!(with(&|sealed| sealed.enc = STANDARD.encode([0; KEY])), Err(SealError::NotForHere));
}

/// Content that a stranger sealed well, and that is no credential.
#[test]
fn well_sealed_nonsense_is_malformed() {
    let key = recipient();
    for content in [&b""[..], b"null", b"{}", br#"{"password":"!","username":"bG9hZGVy"}"#, br#"{"password":1,"username":2}"#, b"\xff"] {
        let public = HpkePublicKey(key.public.bytes.to_vec());
        let (enc, ciphertext) = SUITE.seal(&destination().info(), &destination().aad(), content, &public).unwrap();
        let sealed = Sealed { kid: key.public.kid.to_string(), enc: STANDARD.encode(enc.0), ciphertext: STANDARD.encode(ciphertext) };
        assert_eq!(key.open(&destination(), &sealed), Err(SealError::Malformed));
    }
}

/// Every way to be somewhere else, one letter at a time, and letters that move from one name to the next.
fn moved() -> impl Strategy<Value = Destination> {
    (0..9_usize, "[a-z0-9-]{1,12}").prop_map(|(which, text)| {
        let mut moved = destination();
        match which {
            0 => moved.region = text,
            1 => moved.installation_uid = text,
            2 => moved.tenant = text,
            3 => moved.namespace = text,
            4 => moved.connection = text,
            5 => moved.endpoint_digest = text,
            6 => moved.entries = [text].into(),
            7 => {
                moved.connection.push_str(&moved.endpoint_digest);
                moved.endpoint_digest = String::new();
            }
            _ => {
                let letter = moved.tenant.pop().unwrap();
                moved.namespace.insert(0, letter);
            }
        }
        moved
    })
}

proptest! {
    #[test]
    fn what_was_moved_does_not_open(moved in moved()) {
        prop_assume!(moved != destination());
        let key = recipient();
        let sealed = key.public().seal(&destination(), &entries()).unwrap();
        prop_assert_eq!(key.open(&moved, &sealed), Err(SealError::NotForHere));
        prop_assert_eq!(key.open(&destination(), &sealed), Ok(entries()));
    }

    #[test]
    fn what_was_altered_does_not_open(byte in any::<usize>(), bit in 0..8_u8, in_enc in any::<bool>()) {
        let key = recipient();
        let mut sealed = key.public().seal(&destination(), &entries()).unwrap();
        let text = if in_enc { &mut sealed.enc } else { &mut sealed.ciphertext };
        let mut bytes = STANDARD.decode(&*text).unwrap();
        let at = byte % bytes.len();
        // The highest bit of an X25519 key is passed over by everybody.
        prop_assume!(!(in_enc && at == KEY - 1 && bit == 7));
        bytes[at] ^= 1 << bit;
        *text = STANDARD.encode(bytes);
        prop_assert_eq!(key.open(&destination(), &sealed), Err(SealError::NotForHere));
    }

    #[test]
    fn whatever_was_sealed_comes_back(values in proptest::collection::btree_map("[a-zA-Z.\"\\\\]{1,9}", any::<Vec<u8>>(), 1..5)) {
        let entries: Entries = values.into_iter().map(|(name, value)| (name, Zeroizing::new(value))).collect();
        let destination = Destination { entries: entries.keys().cloned().collect(), ..destination() };
        let sealed = recipient().public().seal(&destination, &entries).unwrap();
        prop_assert_eq!(recipient().open(&destination, &sealed), Ok(entries));
    }
}

fn hour(hours: i64) -> Timestamp {
    Timestamp::from_second(hours * 3600).unwrap()
}

/// The life of a key: published for thirty days, opening for sixty more, gone.
#[test]
fn a_key_is_followed_by_another_and_destroyed_in_its_time() {
    let mut rng = StdRng::seed_from_u64(31);
    let root = SecretRoot::new(RootRing::begin(&mut rng, hour(0)));
    let mut ring = TenantRing::begin_under(&scope(), &root, &mut rng, hour(0)).unwrap();
    let first = ring.active().unwrap().kid();
    let unlocked = |ring: &TenantRing| ring.unlock_under(&scope(), &root).ok().unwrap();
    let sealed = unlocked(&ring).seal_key().ok().unwrap().public().seal(&destination(), &entries()).unwrap();
    let kid: Kid = sealed.kid.parse().unwrap();
    assert_eq!(kid, first);

    let due = |ring: &TenantRing, hours: i64| ring.decide(&Policy::SEALED, &Observed::default(), hour(hours));
    assert_eq!(due(&ring, 30 * 24 - 1), []);
    assert_eq!(due(&ring, 30 * 24), [Step::Create]);
    let second = ring.create_under(&scope(), &root, &mut rng, hour(30 * 24)).unwrap();
    ring.promote(second, hour(30 * 24)).unwrap();
    assert_eq!(unlocked(&ring).seal_key().ok().unwrap().public().kid, second, "what is published is the new one");
    assert_eq!(due(&ring, 30 * 24), []);
    assert_eq!(due(&ring, 30 * 24 + 1), [Step::Settle(first)]);
    ring.settle(first, hour(30 * 24)).unwrap();
    assert_eq!(unlocked(&ring).seal_key_of(kid).ok().unwrap().open(&destination(), &sealed), Ok(entries()), "the old one opens still");
    assert!(!due(&ring, 90 * 24 - 1).contains(&Step::Destroy(first)));
    assert!(due(&ring, 90 * 24).contains(&Step::Destroy(first)));
    ring.destroy(first, hour(90 * 24)).unwrap();
    assert_eq!(unlocked(&ring).seal_key_of(kid).err(), Some(RingError::DestroyedKey(first)));
}

/// The audit's key is of another ring, and would be another one of the same ring.
#[test]
fn keys_for_sealing_are_no_other_keys() {
    let mut rng = StdRng::seed_from_u64(32);
    let root = SecretRoot::new(RootRing::begin(&mut rng, hour(0)));
    let ring = TenantRing::begin_under(&scope(), &root, &mut rng, hour(0)).unwrap().unlock_under(&scope(), &root).ok().unwrap();
    let key = ring.seal_key().ok().unwrap();
    assert_ne!(key.private.secret_bytes(), ring.active().ok().unwrap().bytes.expose());
}
