//! Answers: JSON, CSV and the error formats, which differ by API and must not be mixed.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};

use crate::store::RowError;

pub(crate) type Reply = Response<Body>;

/// An error of a REST or Bulk call: always a JSON array with one entry.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) fields: Vec<String>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), fields: Vec::new() }
    }

    pub(crate) fn bad(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "The requested resource does not exist")
    }

    pub(crate) fn method_not_allowed(method: &http::Method, allowed: &str) -> Self {
        let message = format!("HTTP Method '{method}' not allowed. Allowed are {allowed}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message)
    }

    /// The service has it and this server does not.
    pub(crate) fn not_supported(what: &str) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "NOT_SUPPORTED", format!("This emulator of Salesforce has no {what}"))
    }

    pub(crate) fn session() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "INVALID_SESSION_ID", "Session expired or invalid")
    }

    pub(crate) fn json_parser(detail: impl std::fmt::Display) -> Self {
        Self::bad("JSON_PARSER_ERROR", detail.to_string())
    }

    /// A Bulk 2.0 error: the enumerated code in capitals, and again in the message.
    pub(crate) fn bulk(code: &str, message: impl std::fmt::Display) -> Self {
        Self::bad(code.to_uppercase(), format!("{code} : {message}"))
    }

    pub(crate) fn body(&self) -> Value {
        let mut entry = json!({"message": self.message, "errorCode": self.code});
        if !self.fields.is_empty() {
            entry["fields"] = json!(self.fields);
        }
        json!([entry])
    }

    pub(crate) fn reply(&self) -> Reply {
        json(self.status, &self.body())
    }
}

impl From<RowError> for ApiError {
    fn from(error: RowError) -> Self {
        let status = match error.code {
            "NOT_FOUND" | "ENTITY_IS_DELETED" => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        let mut entry = Self::new(status, error.code, error.message);
        entry.fields = error.fields;
        entry
    }
}

/// One entry of `errors[]` in Collections and tree answers: `statusCode`, not `errorCode`.
pub(crate) fn row_error(error: &RowError) -> Value {
    json!({"statusCode": error.code, "message": error.message, "fields": error.fields})
}

pub(crate) fn json<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Reply {
    let text = serde_json::to_vec(body).expect("answers are made of plain values");
    typed(status, "application/json;charset=UTF-8", text)
}

pub(crate) fn ok<T: Serialize + ?Sized>(body: &T) -> Reply {
    json(StatusCode::OK, body)
}

pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Body::empty());
    *reply.status_mut() = status;
    reply
}

pub(crate) fn typed(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Reply {
    let mut reply = Response::new(body.into());
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_errors_repeat_their_code_in_the_message() {
        let body = ApiError::bulk("InvalidJob", "no such key").body();
        assert_eq!(body, json!([{"errorCode": "INVALIDJOB", "message": "InvalidJob : no such key"}]));
    }
}
