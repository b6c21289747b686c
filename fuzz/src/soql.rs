//! The emulator's SOQL: any text as a query of an organisation with the default schema.

pub(crate) fn feed(input: &[u8]) {
    let Ok(query) = std::str::from_utf8(input) else { return };
    if let Some(words) = salesforce_emulator::refusal(query) {
        assert!(!words.is_empty(), "a refusal says why");
        assert_eq!(salesforce_emulator::refusal(query), Some(words), "a query is refused with the same words each time");
    }
}
