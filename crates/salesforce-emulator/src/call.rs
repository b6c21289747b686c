//! One request as the handlers see it: path segments without the differences clients make, parameters, body on demand.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method};
use percent::decode;
use serde::de::DeserializeOwned;

use crate::reply::ApiError;

/// JSON bodies are small; only Bulk uploads are large and they are read elsewhere.
const JSON_LIMIT: usize = 64 << 20;

pub(crate) struct Call {
    pub(crate) method: Method,
    /// Segments below the part already dispatched on, decoded, in the client's spelling.
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    /// `66.0`; empty outside `/services/data`.
    pub(crate) version: String,
    pub(crate) body: Body,
}

impl Call {
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Path segments folded to lower case for matching.
    pub(crate) fn folded(&self) -> Vec<String> {
        self.path.iter().map(|segment| segment.to_ascii_lowercase()).collect()
    }

    pub(crate) async fn bytes(&mut self) -> Result<Bytes, ApiError> {
        let body = std::mem::take(&mut self.body);
        axum::body::to_bytes(body, JSON_LIMIT).await.map_err(|_| ApiError::json_parser("the request body could not be read"))
    }

    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, ApiError> {
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(ApiError::json_parser)
    }
}

/// Segments of a path: doubled and trailing slashes mean nothing.
pub(crate) fn segments(path: &str) -> Vec<String> {
    path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect()
}

pub(crate) fn query(text: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

mod percent {
    /// A path segment with `%41` read as `A`; a plus stays a plus.
    pub(super) fn decode(segment: &str) -> String {
        let bytes = segment.as_bytes();
        let mut decoded = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let hex = (bytes[at] == b'%').then(|| segment.get(at + 1..at + 3)).flatten();
            match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                Some(byte) => {
                    decoded.push(byte);
                    at += 3;
                }
                None => {
                    decoded.push(bytes[at]);
                    at += 1;
                }
            }
        }
        String::from_utf8_lossy(&decoded).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_too_many_mean_nothing() {
        let path = "/services//data/v66.0/jobs/query//750/results/";
        assert_eq!(segments(path), ["services", "data", "v66.0", "jobs", "query", "750", "results"]);
        assert_eq!(query("locator=MTA%3D"), [("locator".to_owned(), "MTA=".to_owned())]);
    }

    #[test]
    fn percent_signs_are_decoded_once() {
        assert_eq!(segments("/a/x%2Fy%2541+"), ["a", "x/y%41+"]);
    }
}
