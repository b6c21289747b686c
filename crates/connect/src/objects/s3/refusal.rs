//! What an S3 server means by a refusal, and what to do about it. Of its answer only the code is used: its words may hold what it was sent.

use http::{HeaderMap, Method, StatusCode};

use crate::objects::refusal::{code, element, is_word};
use crate::reasons;

/// An S3 server says no. Of its answer only the code is kept: its words may hold what it was sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum S3Refusal {
    #[error("there is no such bucket: correct the bucket, or the endpoint that it is at")]
    NoBucket,
    #[error("the bucket is in another region{}: correct the region", in_words(.region.as_deref()))]
    OtherRegion { region: Option<String> },
    #[error("the access key id is not known there, or not any more")]
    UnknownKey,
    #[error("the secret access key is not that of the access key id")]
    WrongSecret,
    #[error(
        "the credential was accepted, and may not do this: let its policy allow s3:GetObject on the objects that jobs read, and s3:ListBucket for a path with *; what is not there may look the same to it"
    )]
    Denied,
    #[error("its clock and ours are more than 15 minutes apart: correct the one that is wrong")]
    Clocks,
    #[error("the object is in an archive (such as GLACIER) and cannot be read: restore it first, or copy it to another storage class")]
    Archived,
    #[error(
        "the object is encrypted under a key of its owner's own (SSE-C), and not this one: give that key with spec.s3.encryption.customerKey, or copy the object without one"
    )]
    CustomerKey,
    #[error("it is busy or in trouble ({code}): it may answer later")]
    Busy { code: String },
    #[error("what was asked for begins behind the end")]
    BehindTheEnd,
    #[error("it refused the request: {code}")]
    Other { code: String },
    #[error("it answered {status} as no S3 server does: correct the endpoint")]
    NotS3 { status: u16 },
}

impl S3Refusal {
    /// A short CamelCase word for a condition's reason.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoBucket => reasons::BUCKET_NOT_FOUND,
            Self::OtherRegion { .. } => reasons::OTHER_REGION,
            Self::UnknownKey | Self::WrongSecret => reasons::LOGIN_REFUSED,
            Self::Denied => reasons::ACCESS_DENIED,
            Self::Clocks => reasons::CLOCKS_DIFFER,
            Self::Archived | Self::CustomerKey => reasons::OBJECT_UNREADABLE,
            Self::Busy { .. } => reasons::UNREACHABLE,
            Self::BehindTheEnd | Self::Other { .. } => reasons::REQUEST_REFUSED,
            Self::NotS3 { .. } => reasons::NOT_S3,
        }
    }

    /// Whether the same may work a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

fn in_words(region: Option<&str>) -> String {
    region.map(|region| format!(", {region}")).unwrap_or_default()
}

/// What an answer means that is no success. `None`: a plain no that the caller understands by the status alone, because it asked for what
/// may not be there (404), or made a condition (304, 409, 412).
pub(super) fn refusal(method: &Method, status: StatusCode, headers: &HeaderMap, body: &str) -> Option<S3Refusal> {
    let region = || {
        let told = headers.get("x-amz-bucket-region").and_then(|value| value.to_str().ok());
        told.filter(|text| is_word(text)).or_else(|| element(body, "Region")).map(str::to_owned)
    };
    let Some(code) = code(body) else {
        // These methods have answers without a body; other than that, S3 always says why.
        let wordless = [Method::HEAD, Method::DELETE].contains(method) || body.is_empty() && status != StatusCode::NOT_FOUND;
        return match status {
            StatusCode::NOT_MODIFIED | StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => None,
            StatusCode::NOT_FOUND if wordless => None,
            StatusCode::FORBIDDEN if wordless => Some(S3Refusal::Denied),
            status if busy(status) => Some(S3Refusal::Busy { code: status.as_u16().to_string() }),
            status => Some(S3Refusal::NotS3 { status: status.as_u16() }),
        };
    };
    Some(match code {
        "NoSuchBucket" | "InvalidBucketName" => S3Refusal::NoBucket,
        "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            S3Refusal::OtherRegion { region: region() }
        }
        "InvalidAccessKeyId" | "InvalidToken" | "ExpiredToken" => S3Refusal::UnknownKey,
        "SignatureDoesNotMatch" => S3Refusal::WrongSecret,
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => S3Refusal::Denied,
        "RequestTimeTooSkewed" | "RequestExpired" => S3Refusal::Clocks,
        "InvalidObjectState" => S3Refusal::Archived,
        // What an object under such a key answers to a request without it.
        "InvalidRequest" if *method == Method::GET => S3Refusal::CustomerKey,
        "InvalidRange" => S3Refusal::BehindTheEnd,
        code if busy(status) || ["SlowDown", "InternalError", "RequestTimeout"].contains(&code) => {
            S3Refusal::Busy { code: code.to_owned() }
        }
        _ if [StatusCode::NOT_FOUND, StatusCode::CONFLICT, StatusCode::PRECONDITION_FAILED].contains(&status) => return None,
        code => S3Refusal::Other { code: code.to_owned() },
    })
}

fn busy(status: StatusCode) -> bool {
    status.is_server_error() || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: Method, status: u16, body: &str) -> Option<S3Refusal> {
        refusal(&method, StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body)
    }

    fn code(code: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>AKIA and its secrets</Message><Region>eu-west-1</Region></Error>"
        )
    }

    #[test]
    fn every_refusal_names_its_way_out_and_nothing_of_the_servers_words() {
        for (status, name, reason, words) in [
            (404, "NoSuchBucket", "BucketNotFound", "correct the bucket"),
            (301, "PermanentRedirect", "OtherRegion", "eu-west-1"),
            (400, "AuthorizationHeaderMalformed", "OtherRegion", "correct the region"),
            (403, "InvalidAccessKeyId", "LoginRefused", "access key id"),
            (403, "SignatureDoesNotMatch", "LoginRefused", "secret access key"),
            (403, "AccessDenied", "AccessDenied", "s3:GetObject"),
            (403, "RequestTimeTooSkewed", "ClocksDiffer", "clock"),
            (403, "InvalidObjectState", "ObjectUnreadable", "restore it"),
            (503, "SlowDown", "Unreachable", "SlowDown"),
            (500, "InternalError", "Unreachable", "InternalError"),
            (400, "EntityTooLarge", "RequestRefused", "EntityTooLarge"),
        ] {
            let refusal = read(Method::GET, status, &code(name)).unwrap_or_else(|| panic!("{name} is no refusal"));
            let told = refusal.to_string();
            assert!(refusal.reason() == reason && told.contains(words) && !told.contains("AKIA"), "{name}: {told}");
            assert_eq!(refusal.is_passing(), status >= 500, "{name}");
        }
    }

    #[test]
    fn an_answer_that_was_asked_for_is_no_refusal() {
        for (method, status, body) in [
            (Method::GET, 404, code("NoSuchKey")),
            (Method::HEAD, 404, String::new()),
            (Method::GET, 412, code("PreconditionFailed")),
            (Method::PUT, 412, String::new()),
            (Method::PUT, 409, code("ConditionalRequestConflict")),
            (Method::GET, 304, String::new()),
        ] {
            assert_eq!(read(method.clone(), status, &body), None, "{method} {status}");
        }
    }

    #[test]
    fn a_server_that_is_not_s3_is_told_from_an_object_that_is_not_there() {
        assert_eq!(read(Method::GET, 404, "<html>not here</html>"), Some(S3Refusal::NotS3 { status: 404 }));
        assert_eq!(read(Method::GET, 403, "<html>"), Some(S3Refusal::NotS3 { status: 403 }));
        assert_eq!(read(Method::GET, 302, ""), Some(S3Refusal::NotS3 { status: 302 }));
        assert!(read(Method::GET, 502, "<html>bad gateway</html>").is_some_and(|refusal| refusal.is_passing()));
        let long = code(&"x".repeat(200));
        assert_eq!(read(Method::GET, 400, &long), Some(S3Refusal::NotS3 { status: 400 }), "no word of a server's own length");
        assert_eq!(read(Method::GET, 400, &code("a b")), Some(S3Refusal::NotS3 { status: 400 }));
    }
}
