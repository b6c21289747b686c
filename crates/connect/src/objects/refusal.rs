//! What a store of objects means by a refusal, and what to do about it. Of its answer only the code is used: its words may hold what it was
//! sent. S3 has words of its own.

use http::{Method, StatusCode};

use crate::reasons;

/// A store of objects says no.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum ObjectsRefusal {
    #[error("there is no such bucket or container: correct its name, or the endpoint that it is at")]
    NoBucket,
    #[error("it does not take the credential: correct it; it may have ended, be of another account, or not be taken from here")]
    UnknownKey,
    #[error(
        "the credential was accepted, and may not do this: let it read the objects that jobs read, and list them for a path with *; what is not there may look the same to it"
    )]
    Denied,
    #[error("its clock and ours are too far apart: correct the one that is wrong")]
    Clocks,
    #[error("the object is in an archive, or encrypted under a key of its owner's own: restore it, or copy it without")]
    Unreadable,
    #[error("it is busy or in trouble ({code}): it may answer later")]
    Busy { code: String },
    #[error("what was asked for begins behind the end")]
    BehindTheEnd,
    #[error("it refused the request: {code}")]
    Other { code: String },
    #[error("it answered {status} as no such store does: correct the endpoint")]
    NotOne { status: u16 },
}

impl ObjectsRefusal {
    /// A short CamelCase word for a condition's reason.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoBucket => reasons::BUCKET_NOT_FOUND,
            Self::UnknownKey => reasons::LOGIN_REFUSED,
            Self::Denied => reasons::ACCESS_DENIED,
            Self::Clocks => reasons::CLOCKS_DIFFER,
            Self::Unreadable => reasons::OBJECT_UNREADABLE,
            Self::Busy { .. } => reasons::UNREACHABLE,
            Self::BehindTheEnd | Self::Other { .. } => reasons::REQUEST_REFUSED,
            Self::NotOne { .. } => reasons::NOT_A_STORE,
        }
    }

    /// Whether the same may work a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

/// What an answer means that is no success, by its code and what that means there. `None`: a plain no that the caller understands by the
/// status alone, because it asked for what may not be there (404), or made a condition (304, 412).
pub(super) fn of(
    method: &Method,
    status: StatusCode,
    code: Option<&str>,
    meaning: fn(&str) -> Option<ObjectsRefusal>,
) -> Option<ObjectsRefusal> {
    if let Some(refusal) = code.and_then(meaning) {
        return Some(refusal);
    }
    let number = status.as_u16();
    let word = || code.map_or_else(|| number.to_string(), str::to_owned);
    Some(match status {
        StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED => return None,
        // An object that is not there has a code, or, where nothing but a head was asked for, none.
        StatusCode::NOT_FOUND if code.is_some() || *method == Method::HEAD => return None,
        StatusCode::UNAUTHORIZED => ObjectsRefusal::UnknownKey,
        StatusCode::FORBIDDEN => ObjectsRefusal::Denied,
        StatusCode::RANGE_NOT_SATISFIABLE => ObjectsRefusal::BehindTheEnd,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => ObjectsRefusal::Busy { code: word() },
        status if status.is_server_error() => ObjectsRefusal::Busy { code: word() },
        _ => match code {
            Some(code) => ObjectsRefusal::Other { code: code.to_owned() },
            None => ObjectsRefusal::NotOne { status: number },
        },
    })
}

/// The code of an answer in XML.
pub(super) fn code(body: &str) -> Option<&str> {
    element(body, "Code")
}

/// The text of the first element of that name, if it is one word.
pub(super) fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    text(body, name).filter(|text| is_word(text))
}

/// The text of the first element of that name, as it stands there.
pub(super) fn text<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

pub(super) fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(method: Method, status: u16, code: Option<&str>) -> Option<ObjectsRefusal> {
        let meaning = |code: &str| (code == "NoSuchBucket").then_some(ObjectsRefusal::NoBucket);
        of(&method, StatusCode::from_u16(status).unwrap(), code, meaning)
    }

    #[test]
    fn an_object_that_is_not_there_is_told_from_a_server_that_is_no_store() {
        assert_eq!(told(Method::GET, 404, Some("NoSuchKey")), None);
        assert_eq!(told(Method::HEAD, 404, None), None);
        assert_eq!(told(Method::GET, 412, Some("ConditionNotMet")), None);
        assert_eq!(told(Method::GET, 404, Some("NoSuchBucket")), Some(ObjectsRefusal::NoBucket));
        assert_eq!(told(Method::GET, 404, None), Some(ObjectsRefusal::NotOne { status: 404 }));
        assert_eq!(told(Method::GET, 302, None), Some(ObjectsRefusal::NotOne { status: 302 }));
    }

    #[test]
    fn what_may_pass_is_worth_waiting_for_and_nothing_else_is() {
        for (status, code, passing) in
            [(503, Some("SlowDown"), true), (500, None, true), (429, None, true), (403, None, false), (400, Some("Odd"), false)]
        {
            assert_eq!(told(Method::GET, status, code).unwrap().is_passing(), passing, "{status}");
        }
        assert_eq!(told(Method::GET, 401, None).unwrap().reason(), reasons::LOGIN_REFUSED);
    }
}
