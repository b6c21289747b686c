//! `@{step.id}` in a later step's URL or body stands for a value of an earlier step's answer.

use serde_json::{Map, Value};

/// The URL and body with every reference filled, or why one cannot be.
pub(super) fn fill(results: &Map<String, Value>, url: &str, body: &Value) -> Result<(String, Value), String> {
    Ok((text(results, url)?, value(results, body)?))
}

fn value(results: &Map<String, Value>, body: &Value) -> Result<Value, String> {
    Ok(match body {
        Value::String(given) => match whole(given) {
            // A cell that is nothing but a reference keeps the type of what it stands for.
            Some(reference) => find(results, reference)?.clone(),
            None => Value::String(text(results, given)?),
        },
        Value::Array(items) => Value::Array(items.iter().map(|item| value(results, item)).collect::<Result<_, _>>()?),
        Value::Object(members) => {
            let filled = members.iter().map(|(name, member)| Ok((name.clone(), value(results, member)?)));
            Value::Object(filled.collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}

fn whole(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("@{")?.strip_suffix('}')?;
    (!inner.contains(['{', '}'])).then_some(inner)
}

fn text(results: &Map<String, Value>, given: &str) -> Result<String, String> {
    let (mut filled, mut rest) = (String::new(), given);
    while let Some((before, after)) = rest.split_once("@{") {
        let (reference, after) = after.split_once('}').ok_or_else(|| format!("Invalid reference specified: {given}"))?;
        filled.push_str(before);
        match find(results, reference)? {
            Value::String(found) => filled.push_str(found),
            other => filled.push_str(&other.to_string()),
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// `step.records[0].Id` in the answers so far; member names ignore case.
fn find<'a>(results: &'a Map<String, Value>, reference: &str) -> Result<&'a Value, String> {
    let missing = || format!("Invalid reference specified. No value for {reference} found in the results so far");
    let mut parts = reference.split(['.', '[']);
    let mut at = parts.next().and_then(|step| results.get(step)).ok_or_else(missing)?;
    for part in parts {
        let next = match part.strip_suffix(']') {
            Some(index) => index.parse::<usize>().ok().and_then(|index| at.get(index)),
            None => at.as_object().and_then(|members| members.iter().find(|(name, _)| name.eq_ignore_ascii_case(part)).map(|(_, v)| v)),
        };
        at = next.ok_or_else(missing)?;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_filled_in_urls_and_bodies() {
        let results = json!({"a": {"id": "001"}, "q": {"records": [{"Id": "003", "N": 5}]}});
        let results = results.as_object().unwrap();
        let body = json!({"AccountId": "@{a.id}", "n": ["@{q.records[0].N}"], "t": "x @{a.id} y"});
        let (url, body) = fill(results, "/x/@{q.records[0].id}", &body).unwrap();
        assert_eq!((url.as_str(), body), ("/x/003", json!({"AccountId": "001", "n": [5], "t": "x 001 y"})));
        assert!(fill(results, "/x/@{b.id}", &Value::Null).is_err());
    }
}
