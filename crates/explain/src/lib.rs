//! Why a server was not reached, in words for people: of errors of TLS and of sockets, under however many layers libraries wrap them in. Knows
//! no kind of server, so that what runs on any system, the plugin, tells of it as the keeper does.

use std::error::Error as StdError;
use std::io;

use rustls::CertificateError;

/// An error, what it came of, and so on to the first cause.
pub fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| inner(*error))
}

/// An `io::Error` hides from `source` what it wraps.
fn inner<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// What an error comes down to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explained {
    /// The first cause that says something, with its remedy.
    pub text: String,
    /// Whether TLS is what failed: no later attempt helps while everything stays as it is.
    pub of_tls: bool,
}

/// Looks through an error whose outer layers only say that something failed.
pub fn explain(error: &(dyn StdError + 'static)) -> Explained {
    let mut innermost = error;
    for cause in causes(error) {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Explained { text: tls_reason(tls), of_tls: true };
        }
        // Libraries word it for those who program with them.
        if cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof) {
            return Explained { text: "the other side closed the connection in the middle of what it sent".to_owned(), of_tls: false };
        }
        innermost = cause;
    }
    Explained { text: innermost.to_string(), of_tls: false }
}

/// Whether a server was refused because nobody we trust signed its certificate; who is trusted the caller knows.
pub fn is_of_unknown_issuer(error: &(dyn StdError + 'static)) -> bool {
    let tls = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)))
}

/// What a TLS failure means for a person.
fn tls_reason(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(certificate) => certificate_reason(certificate),
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS on this port".to_owned(),
        rustls::Error::PeerIncompatible(_) => format!("the server offers nothing we accept, and TLS 1.2 is the least: {error}"),
        rustls::Error::General(text) => text.clone(),
        other => other.to_string(),
    }
}

fn certificate_reason(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            "its certificate is signed by nobody we trust: put the PEM of its authority into tls.caBundle".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            format!(
                "its certificate is not for {}, but for {}: correct the host, or name the right one in tls.serverName",
                expected.to_str(),
                presented.join(", ")
            )
        }
        CertificateError::NotValidForName => "its certificate is for another name: correct the host or tls.serverName".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired: renew it".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: check the clocks".to_owned()
        }
        CertificateError::Other(rustls::OtherError(cause)) if cause.to_string() == "CaUsedAsEndEntity" => {
            "its certificate is that of an authority, or signed by itself: give the server one that an authority signed, and put the PEM of \
             that authority into tls.caBundle"
                .to_owned()
        }
        CertificateError::Revoked => "its certificate was revoked: renew it".to_owned(),
        CertificateError::BadSignature => "its certificate is not signed by the authority that it names: renew it".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not one for servers (extended key usage serverAuth): renew it".to_owned()
        }
        CertificateError::BadEncoding => "its certificate cannot be read: renew it".to_owned(),
        // What is left has no words for people; the text names what to look for.
        other => format!("its certificate is not acceptable ({other}): renew it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_of_its_own_signing_is_told_in_words() {
        let verifier_says = rustls::OtherError(std::sync::Arc::new(io::Error::other("CaUsedAsEndEntity")));
        let told = tls_reason(&rustls::Error::InvalidCertificate(CertificateError::Other(verifier_says)));
        assert!(told.contains("signed by itself") && told.contains("tls.caBundle") && !told.contains("CaUsed"), "{told}");
        let unknown = io::Error::other(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert!(is_of_unknown_issuer(&unknown) && !is_of_unknown_issuer(&io::Error::other("x")));
    }

    #[test]
    fn a_cause_is_found_under_layers_that_hide_it() {
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let hidden = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, expired));
        let found = explain(&hidden);
        assert!(found.of_tls && found.text.contains("expired"), "{found:?}");

        let cut_off = io::Error::new(io::ErrorKind::UnexpectedEof, "see the manual of a library");
        let found = explain(&io::Error::other(cut_off));
        assert!(!found.of_tls && found.text.contains("closed the connection") && !found.text.contains("manual"), "{found:?}");
    }
}
