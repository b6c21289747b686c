//! One private key out of a PEM text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The first PEM block whose label ends in `PRIVATE KEY`: label and content.
pub(super) fn private_key(text: &str) -> Option<(&str, Zeroizing<Vec<u8>>)> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (label, after) = after.split_once("-----")?;
        let (body, after) = after.split_once("-----END ")?;
        if label.ends_with("PRIVATE KEY") {
            let packed: Zeroizing<String> = Zeroizing::new(body.chars().filter(|c| !c.is_whitespace()).collect());
            // An encrypted key in the old format has headers, which are no base64: its content is not needed to say so.
            return Some((label, Zeroizing::new(STANDARD.decode(packed.as_bytes()).unwrap_or_default())));
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_beside_certificates() {
        let text =
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----\n";
        let (label, content) = private_key(text).unwrap();
        assert_eq!((label, content.as_slice()), ("PRIVATE KEY", &[1, 2, 3][..]));
        assert!(private_key("AQID").is_none());
    }
}
