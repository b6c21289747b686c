//! `kubectl import disconnect CONNECTION`: deletes the Connection and waits; its finalizer stops runs, revokes tokens and
//! destroys the stored credential before the object is gone.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use api::identity::is_same;
use api::{Connection, Uid, conditions};
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams};

use super::access::Access;
use super::{Common, ObjectName, Output, TIMED_OUT, output};
use crate::terminal;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The Connection, as NAME or NAMESPACE/NAME.
    connection: ObjectName,
    /// Seconds to wait until it is gone.
    #[arg(long, default_value_t = 660)]
    timeout: u64,
}

pub(crate) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let access = Access::open(common).await?;
    let connection: Connection = access.get(&args.connection).await?;
    let (namespace, name) = (access.namespace_of(&args.connection).to_owned(), &args.connection.name);
    let api = access.api::<Connection>(&args.connection);
    api.delete(name, &DeleteParams::default()).await.with_context(|| format!("Connection {namespace}/{name} cannot be deleted"))?;
    let (until, mut shown) = (Instant::now() + Duration::from_secs(args.timeout), String::new());
    while let Some(left) = api.get_opt(name).await?.filter(|c| is_same(&c.metadata, &connection.metadata)) {
        let ready = left.status.as_ref().and_then(|s| conditions::find(&s.conditions, conditions::READY).cloned());
        let line = ready.map_or("waiting for the keeper".to_owned(), |c| format!("{}: {}", c.reason, c.message));
        if common.output == Output::Text && shown != line {
            terminal::error_line(format_args!("  {line}"));
            shown = line;
        }
        if Instant::now() > until {
            terminal::error_line(format_args!("error: Connection {namespace}/{name} is still there: {shown}"));
            return Ok(ExitCode::from(TIMED_OUT));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    if let Some(note) = failure(&access, &namespace, &connection).await? {
        terminal::error_line(format_args!("error: Connection {namespace}/{name} is gone, but {note}"));
        return Ok(ExitCode::FAILURE);
    }
    let left_to_do = connection.spec.system().and_then(|system| system.external().left_to_do());
    let told = serde_json::json!({"connection": format!("{namespace}/{name}"), "disconnected": true, "leftToDo": left_to_do});
    output::either(common.output, &told, || match &left_to_do {
        Some(step) => format!("Connection {namespace}/{name} is disconnected and its credential destroyed.\nLeft to you: {step}."),
        None => format!("Connection {namespace}/{name} is disconnected and its credential destroyed."),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What the keeper said when it could not revoke: the object is gone then, and its tokens may live.
async fn failure(access: &Access, namespace: &str, connection: &Connection) -> Result<Option<String>> {
    let events: Api<Event> = Api::namespaced(access.client.clone(), namespace);
    let selector = format!("reason=RevocationFailed,involvedObject.uid={}", Uid::of(connection)?);
    let said = events.list(&ListParams::default().fields(&selector)).await.context("the Connection's events cannot be read")?;
    Ok(said.items.into_iter().find_map(|event| event.message))
}
