//! The one-request form of a job: a `multipart/form-data` body with the parts `job` and `content`.

use bytes::Bytes;

pub(super) struct Parts {
    pub(super) job: Bytes,
    pub(super) content: Bytes,
}

pub(super) fn parts(content_type: &str, body: &Bytes) -> Option<Parts> {
    let boundary = content_type.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?.trim_matches('"');
    let delimiter = format!("--{boundary}");
    let (mut job, mut content) = (None, None);
    let mut at = find(body, delimiter.as_bytes(), 0)?;
    loop {
        at += delimiter.len();
        if body.get(at..at + 2) == Some(b"--") {
            break;
        }
        let start = at + line_break(body, at)?;
        let end = find(body, delimiter.as_bytes(), start)?;
        let (name, value) = part(body, start, end)?;
        match name.as_str() {
            "job" => job = Some(value),
            "content" => content = Some(value),
            _ => {}
        }
        at = end;
    }
    Some(Parts { job: job?, content: content? })
}

/// One part: its name from the headers and its value without the line break before the next delimiter.
fn part(body: &Bytes, start: usize, end: usize) -> Option<(String, Bytes)> {
    let (blank, gap) = match find(&body[..end], b"\r\n\r\n", start) {
        Some(at) => (at, 4),
        None => (find(&body[..end], b"\n\n", start)?, 2),
    };
    let headers = std::str::from_utf8(&body[start..blank]).ok()?;
    let name = headers.split("name=\"").nth(1)?.split('"').next()?.to_owned();
    let mut last = end;
    for byte in [b'\n', b'\r'] {
        if last > blank + gap && body[last - 1] == byte {
            last -= 1;
        }
    }
    Some((name, body.slice(blank + gap..last)))
}

fn line_break(body: &[u8], at: usize) -> Option<usize> {
    match body.get(at..)? {
        [b'\r', b'\n', ..] => Some(2),
        [b'\n', ..] => Some(1),
        _ => None,
    }
}

fn find(body: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    body.get(from..)?.windows(wanted.len()).position(|window| window == wanted).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_parts_are_found_whatever_the_line_ends() {
        for newline in ["\r\n", "\n"] {
            let text = [
                "--B",
                "Content-Type: application/json",
                "Content-Disposition: form-data; name=\"job\"",
                "",
                "{}",
                "--B",
                "Content-Type: text/csv",
                "Content-Disposition: form-data; name=\"content\"; filename=\"content\"",
                "",
                "Name",
                "x",
                "--B--",
                "",
            ]
            .join(newline);
            let parts = parts("multipart/form-data; boundary=B", &Bytes::from(text)).unwrap();
            assert_eq!(parts.job, "{}");
            assert_eq!(parts.content, format!("Name{newline}x"));
        }
    }
}
