//! What the head of an answer tells about a file.

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, StatusCode};
use reqwest::Response;

use crate::files::FileState;

pub(super) struct Told {
    pub(super) state: FileState,
    /// Where the bytes begin that come, if the answer says so.
    pub(super) starts_at: Option<u64>,
}

impl Told {
    pub(super) fn of(answer: &Response) -> Self {
        told(answer.status(), answer.headers())
    }
}

fn told(status: StatusCode, headers: &HeaderMap) -> Told {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim).filter(|text| !text.is_empty());
    let (length, starts_at) = if status == StatusCode::PARTIAL_CONTENT {
        text(CONTENT_RANGE).and_then(range).unzip()
    } else {
        (text(CONTENT_LENGTH).and_then(|text| text.parse().ok()), None)
    };
    // A weak ETag may stay the same for other bytes; a time of modification that comes with it does not get better by that.
    let strong = text(ETAG).filter(|etag| !etag.starts_with("W/"));
    let version = strong.or_else(|| text(LAST_MODIFIED)).or_else(|| text(ETAG)).map(str::to_owned);
    Told { state: FileState { length, version }, starts_at }
}

/// Length of the whole and place of the first byte, of `bytes 0-0/1234`.
fn range(text: &str) -> Option<(u64, u64)> {
    let (range, length) = text.strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((length.trim().parse().ok()?, first.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(status: StatusCode, headers: &[(&'static str, &'static str)]) -> Told {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
        told(status, &headers)
    }

    #[test]
    fn the_whole_length_is_told_with_a_part() {
        let part = state(StatusCode::PARTIAL_CONTENT, &[("content-range", "bytes 7-7/1234"), ("content-length", "1"), ("etag", "\"a\"")]);
        assert_eq!((part.state.length, part.starts_at), (Some(1234), Some(7)));
        let unknown = state(StatusCode::PARTIAL_CONTENT, &[("content-range", "bytes 0-0/*"), ("content-length", "1")]);
        assert_eq!(unknown.state, FileState::default());
        assert_eq!(state(StatusCode::OK, &[("content-length", "9")]).state.length, Some(9));
    }

    #[test]
    fn a_strong_tag_goes_before_a_time_and_a_time_before_a_weak_tag() {
        let time = ("last-modified", "Sat, 28 Nov 2026 12:00:00 GMT");
        let version = |headers: &[_]| state(StatusCode::OK, headers).state.version;
        assert_eq!(version(&[("etag", "\"a\""), time]).as_deref(), Some("\"a\""));
        assert_eq!(version(&[("etag", "W/\"a\""), time]).as_deref(), Some(time.1));
        assert_eq!(version(&[("etag", "W/\"a\"")]).as_deref(), Some("W/\"a\""));
        assert_eq!(version(&[]), None);
    }
}
