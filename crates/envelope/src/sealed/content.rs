//! What is inside: a JSON object of base64 texts, as the `data` of a Secret, filled up with spaces so that its length says little.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Entries;

/// Lengths are told in steps of this many bytes.
const STEP: usize = 256;

pub(super) fn encode(entries: &Entries) -> Zeroizing<Vec<u8>> {
    let encoded: BTreeMap<&String, Zeroizing<String>> =
        entries.iter().map(|(name, value)| (name, Zeroizing::new(STANDARD.encode(value.as_slice())))).collect();
    let texts: BTreeMap<&String, &str> = encoded.iter().map(|(name, text)| (*name, text.as_str())).collect();
    // Written in one piece into a buffer that never grows, so that no copy is left behind.
    let most = texts.iter().map(|(name, text)| 6 * name.len() + text.len() + 8).sum::<usize>() + 16;
    let mut content = Zeroizing::new(Vec::with_capacity(most.next_multiple_of(STEP)));
    serde_json::to_writer(&mut *content, &texts).expect("a map of text is JSON");
    let filled = content.len().next_multiple_of(STEP);
    content.resize(filled, b' ');
    content
}

pub(super) fn decode(content: &[u8]) -> Option<Entries> {
    let texts: BTreeMap<String, String> = serde_json::from_slice(content).ok()?;
    let texts = texts.into_iter().map(|(name, text)| (name, Zeroizing::new(text))).collect::<BTreeMap<_, _>>();
    texts.into_iter().map(|(name, text)| Some((name, Zeroizing::new(STANDARD.decode(text.as_bytes()).ok()?)))).collect()
}
