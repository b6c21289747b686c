//! Calls that must be refused, and for the right reason: a refusal for any other would hide that the wall is missing.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::kubectl::Kubectl;

/// A call must fail and name its reason; anything else is a finding.
pub(super) fn refused(what: &str, result: Result<String>, reason: &str) -> Result<()> {
    match result {
        Ok(said) => bail!("{what} was not refused: {}", said.trim()),
        Err(error) if format!("{error:#}").contains(reason) => Ok(()),
        Err(error) => bail!("{what} was refused for another reason than {reason:?}: {error:#}"),
    }
}

/// An object that somebody tries to create, the reason why it must be refused, and what to call it.
pub(super) struct Attempt {
    pub(super) what: String,
    pub(super) object: Value,
    pub(super) reason: &'static str,
}

/// Tries to create them all as somebody, without keeping any; each is refused for its own reason.
pub(super) fn all_refused(kubectl: &Kubectl, user: Option<&str>, attempts: Vec<Attempt>) -> Result<()> {
    let name = |number: usize| format!("attack-{number}");
    let mut objects = Vec::new();
    for (number, attempt) in attempts.iter().enumerate() {
        let mut object = attempt.object.clone();
        object["metadata"]["name"] = json!(name(number));
        objects.push(object);
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    // It goes on after a refusal and says a line for each.
    let Err(said) = try_create(kubectl, user, &list) else { bail!("none of {} attempts was refused", attempts.len()) };
    let said = format!("{said:#}");
    for (number, Attempt { what, reason, .. }) in attempts.iter().enumerate() {
        let quoted = format!("{:?}", name(number));
        let Some(line) = said.lines().find(|line| line.contains(&quoted)) else { bail!("{what} was not refused") };
        if !line.contains(reason) {
            bail!("{what} was refused for another reason than {reason:?}: {line}");
        }
    }
    Ok(())
}

/// The same with nothing wrong in it: what fails here makes every refusal beside it worthless.
pub(super) fn control(what: &str, result: Result<String>) -> Result<String> {
    result.map_err(|error| error.context(format!("control: {what}")))
}

/// Creates an object as somebody, or as the administrator, without keeping it.
pub(super) fn try_create(kubectl: &Kubectl, user: Option<&str>, object: &Value) -> Result<String> {
    let mut arguments = vec!["create", "--dry-run=server", "-f", "-"];
    arguments.extend(user.map(|_| "--as").into_iter().chain(user));
    kubectl.fed(&arguments, &object.to_string())
}

/// Sets what a JSON pointer names, making the last part if need be.
pub(super) fn put(object: &mut Value, pointer: &str, value: Value) {
    let (parent, last) = pointer.rsplit_once('/').expect("a pointer has a slash");
    match object.pointer_mut(parent).expect("the parent is there") {
        Value::Array(items) => items[last.parse::<usize>().expect("an index")] = value,
        parent => parent[last] = value,
    }
}
