//! The error formats Salesforce speaks, parsed. They must not be mixed: REST and Bulk 2.0 answer an array of `errorCode`, OAuth an
//! object of `error`, row results an object of `statusCode` or one CSV cell.

use serde::Deserialize;

use crate::error::{Class, class_of_status};

/// Longest message kept. Salesforce's own stay below; a proxy's error page does not.
const MAX_MESSAGE: usize = 500;

/// One error of REST or Bulk 2.0.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiError {
    /// Salesforce's code, or `HTTP_<status>` where the body held none.
    pub code: String,
    /// Salesforce's own words, on one line of at most 500 characters, without access tokens.
    pub message: String,
    /// API names of the fields that it is about; mostly none.
    pub fields: Vec<String>,
}

/// The error object of the OAuth endpoints.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{error}: {description}")]
pub struct OAuthError {
    /// The code of RFC 6749, as in `invalid_grant`, or `http_<status>` where the body held none.
    pub error: String,
    /// Salesforce's own words, on one line of at most 500 characters, without access tokens.
    pub description: String,
}

/// Why one row failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct RowError {
    /// Salesforce's status code, as in `REQUIRED_FIELD_MISSING`; `UNKNOWN` where the cell held none.
    pub code: String,
    /// Salesforce's own words, whole: they may quote the row.
    pub message: String,
    /// API names of the fields that it is about; may be none.
    pub fields: Vec<String>,
}

impl ApiError {
    /// Reads the body of an answer that is not a success. Never fails: a proxy may say anything.
    pub(crate) fn parse_all(status: u16, body: &[u8]) -> Vec<Self> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Body {
            Array(Vec<Wire>),
            One(Wire),
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            error_code: String,
            #[serde(default)]
            message: String,
            #[serde(default)]
            fields: Option<Vec<String>>,
        }
        let wires = match serde_json::from_slice(body) {
            Ok(Body::Array(wires)) => wires,
            Ok(Body::One(wire)) => vec![wire],
            Err(_) => Vec::new(),
        };
        if wires.is_empty() {
            return vec![Self { code: format!("HTTP_{status}"), message: bounded(&String::from_utf8_lossy(body)), fields: Vec::new() }];
        }
        wires
            .into_iter()
            .map(|wire| Self { code: bounded(&wire.error_code), message: bounded(&wire.message), fields: wire.fields.unwrap_or_default() })
            .collect()
    }

    pub(crate) fn class(&self, status: u16) -> Class {
        class_of_code(&self.code, &self.message).unwrap_or_else(|| class_of_status(status))
    }
}

impl OAuthError {
    /// Reads the body of a refused OAuth call: JSON as documented, form-encoded as some endpoints answer, else raw text.
    pub(crate) fn parse(status: u16, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Wire {
            error: String,
            #[serde(default)]
            error_description: String,
        }
        if let Ok(wire) = serde_json::from_slice::<Wire>(body) {
            return Self { error: bounded(&wire.error), description: bounded(&wire.error_description) };
        }
        let mut parsed = Self { error: String::new(), description: String::new() };
        for (name, value) in url::form_urlencoded::parse(body) {
            match &*name {
                "error" => parsed.error = bounded(&value),
                "error_description" => parsed.description = bounded(&value),
                _ => {}
            }
        }
        if parsed.error.is_empty() {
            parsed = Self { error: format!("http_{status}"), description: bounded(&String::from_utf8_lossy(body)) };
        }
        parsed
    }

    /// The only codes worth another try.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.error.as_str(), "rate_limit_exceeded" | "unknown_error")
    }
}

impl RowError {
    /// Reads the cell `sf__Error`: `STATUSCODE:message:field, field --`. A cell of another shape is kept whole as the message.
    pub fn parse(cell: &str) -> Self {
        let text = cell.strip_suffix("--").unwrap_or(cell).trim_end();
        let Some((code, rest)) = text.split_once(':').filter(|(code, _)| is_code(code)) else {
            return Self { code: "UNKNOWN".to_owned(), message: cell.to_owned(), fields: Vec::new() };
        };
        let (message, fields) = match rest.rsplit_once(':') {
            Some((message, fields)) if are_fields(fields) => (message, fields),
            _ => (rest, ""),
        };
        let fields = fields.split([',', ' ']).filter(|field| !field.is_empty()).map(str::to_owned).collect();
        Self { code: code.to_owned(), message: message.trim().to_owned(), fields }
    }

    /// What to do with the row. An automation of the org may wrap a lock error, so the message is looked at as well.
    pub fn class(&self) -> Class {
        class_of_code(&self.code, &self.message).unwrap_or(Class::Permanent)
    }
}

/// Salesforce's codes in both spellings: `INVALID_SESSION_ID` (REST) and `InvalidSessionId` (Bulk enumeration, also in capitals).
fn class_of_code(code: &str, message: &str) -> Option<Class> {
    let folded: String = code.chars().filter(|c| *c != '_').map(|c| c.to_ascii_uppercase()).collect();
    let class = match folded.as_str() {
        "INVALIDSESSIONID" => Class::Auth,
        // userinfo answers a dead token so.
        "HTTP403" if matches!(message, "Bad_OAuth_Token" | "Missing_OAuth_Token") => Class::Auth,
        "REQUESTLIMITEXCEEDED" | "EXCEEDEDQUOTA" | "LIMITEXCEEDED" => Class::Quota,
        "SERVERUNAVAILABLE" | "UNKNOWNEXCEPTION" => Class::Transient,
        "UNABLETOLOCKROW" => Class::Lock,
        "TOOMANYLOCKFAILURE" | "TIMEOUT" | "QUERYTIMEOUT" => Class::Rechunk,
        "STORAGELIMITEXCEEDED" | "APIDISABLEDFORORG" | "APICURRENTLYDISABLED" => Class::Stop,
        "INVALIDJOB" | "INVALIDJOBSTATE" | "INVALIDBATCH" => Class::SpoiledJob,
        "CANNOTINSERTUPDATEACTIVATEENTITY" | "CANNOTEXECUTEFLOWTRIGGER" if message.contains("UNABLE_TO_LOCK_ROW") => Class::Lock,
        _ => return None,
    };
    Some(class)
}

fn is_code(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn are_fields(text: &str) -> bool {
    text.split([',', ' ']).all(|field| field.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.'))
}

/// One line of at most [`MAX_MESSAGE`] characters in which nothing looks like an access token.
pub(crate) fn bounded(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.map(|word| if holds_token(word) { "(token)" } else { word }).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// An access token is the 15-character org id, an exclamation mark, and the secret part.
fn holds_token(word: &str) -> bool {
    word.match_indices('!').any(|(at, _)| {
        at >= 15
            && word.is_char_boundary(at - 15)
            && word[at - 15..at].starts_with("00D")
            && word[at - 15..at].bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_and_bulk_errors_are_an_array_with_error_code() {
        let errors = ApiError::parse_all(401, br#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#);
        assert_eq!(errors, [ApiError { code: "INVALID_SESSION_ID".into(), message: "Session expired or invalid".into(), fields: vec![] }]);
        assert_eq!(errors[0].class(401), Class::Auth);
    }

    #[test]
    fn a_body_that_is_no_salesforce_error_is_named_by_its_status_and_kept_short() {
        let page = format!("<html>\n{}</html>", "x".repeat(2000));
        let errors = ApiError::parse_all(502, page.as_bytes());
        assert_eq!(errors[0].code, "HTTP_502");
        assert_eq!(errors[0].class(502), Class::Transient);
        assert!(errors[0].message.chars().count() <= MAX_MESSAGE + 1);
    }

    #[test]
    fn oauth_errors_come_as_json_form_or_text() {
        let json = OAuthError::parse(400, br#"{"error":"invalid_grant","error_description":"expired access/refresh token"}"#);
        assert_eq!(json, OAuthError { error: "invalid_grant".into(), description: "expired access/refresh token".into() });
        let form = OAuthError::parse(400, b"error=invalid_token&error_description=not+known");
        assert_eq!(form, OAuthError { error: "invalid_token".into(), description: "not known".into() });
        let text = OAuthError::parse(403, b"Bad_OAuth_Token");
        assert_eq!(text, OAuthError { error: "http_403".into(), description: "Bad_OAuth_Token".into() });
        assert!(OAuthError::parse(400, br#"{"error":"rate_limit_exceeded"}"#).is_transient());
        assert!(!json.is_transient());
    }

    #[test]
    fn a_row_error_cell_falls_into_code_message_and_fields() {
        let one = RowError::parse("REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --");
        assert_eq!(one.code, "REQUIRED_FIELD_MISSING");
        assert_eq!(one.message, "Required fields are missing: [Name]");
        assert_eq!(one.fields, ["Name"]);
        let none = RowError::parse("DUPLICATE_VALUE:duplicate value found: Ext__c duplicates value on record with id: 001xx:--");
        assert_eq!(none.message, "duplicate value found: Ext__c duplicates value on record with id: 001xx");
        assert!(none.fields.is_empty());
        let two = RowError::parse("X_Y:m:A__c, B__c --");
        assert_eq!(two.fields, ["A__c", "B__c"]);
        let odd = RowError::parse("something else");
        assert_eq!((odd.code.as_str(), odd.message.as_str()), ("UNKNOWN", "something else"));
    }

    #[test]
    fn a_colon_in_the_message_does_not_become_a_field() {
        let error = RowError::parse("STRING_TOO_LONG:Name: data value too large: a b-c (max length=80):Name --");
        assert_eq!(error.message, "Name: data value too large: a b-c (max length=80)");
        assert_eq!(error.fields, ["Name"]);
    }

    #[test]
    fn every_retry_class_is_reached_by_its_codes() {
        let class = |code: &str| class_of_code(code, "");
        assert_eq!(class("InvalidSessionId"), Some(Class::Auth));
        assert_eq!(class("REQUEST_LIMIT_EXCEEDED"), Some(Class::Quota));
        assert_eq!(class("ExceededQuota"), Some(Class::Quota));
        assert_eq!(class("SERVER_UNAVAILABLE"), Some(Class::Transient));
        assert_eq!(class("UNABLE_TO_LOCK_ROW"), Some(Class::Lock));
        assert_eq!(class("TooManyLockFailure"), Some(Class::Rechunk));
        assert_eq!(class("STORAGE_LIMIT_EXCEEDED"), Some(Class::Stop));
        assert_eq!(class("INVALIDJOB"), Some(Class::SpoiledJob));
        assert_eq!(class("INVALIDJOBSTATE"), Some(Class::SpoiledJob));
        assert_eq!(class("FIELD_CUSTOM_VALIDATION_EXCEPTION"), None);
        assert_eq!(class_of_code("CANNOT_EXECUTE_FLOW_TRIGGER", "… UNABLE_TO_LOCK_ROW …"), Some(Class::Lock));
        assert_eq!(class_of_code("CANNOT_EXECUTE_FLOW_TRIGGER", "null pointer"), None);
    }

    #[test]
    fn a_token_in_a_message_never_survives() {
        let text = bounded("bad token 00Dx0000000BV7z!AR8AQAxo9UfVkh8AlV0Gomt9 given\nto us");
        assert_eq!(text, "bad token (token) given to us");
        assert_eq!(bounded("Bearer:00Dx0000000BV7z!AR8"), "(token)");
        assert_eq!(bounded("what a surprise!!"), "what a surprise!!");
    }
}
