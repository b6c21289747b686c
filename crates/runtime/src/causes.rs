//! An error with its causes, in one line for people.

use std::error::Error;

/// Each cause once. What an API server refused is told in its own words: the client library would print its whole answer, types and all,
/// and the same sentence again as its cause.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let (mut text, mut next) = (String::new(), Some(error));
    while let Some(error) = next {
        let (words, cause) = match refusal(error) {
            Some(words) => (words.to_owned(), None),
            None => (error.to_string(), error.source()),
        };
        if !text.ends_with(&words) {
            text = if text.is_empty() { words } else { format!("{text}: {words}") };
        }
        next = cause;
    }
    text
}

fn refusal<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a str> {
    let error = error.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref).or_else(|| error.downcast_ref::<kube::Error>())?;
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => Some(&status.message),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("create Pod run-1")]
    struct Doing(#[source] Box<kube::Error>);

    #[test]
    fn what_a_server_refused_is_told_once_and_in_its_words() {
        let status = Status::failure("pods \"run-1\" is forbidden: exceeded quota", "Forbidden").with_code(403);
        let error = Doing(Box::new(kube::Error::Api(Box::new(status))));
        assert_eq!(chain(&error), "create Pod run-1: pods \"run-1\" is forbidden: exceeded quota");
    }

    #[test]
    fn other_causes_are_told_each_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("reading: {0}")]
        struct Reading(#[source] std::io::Error);
        let error = Reading(std::io::Error::other("the disk is full"));
        assert_eq!(chain(&error), "reading: the disk is full");
    }
}
