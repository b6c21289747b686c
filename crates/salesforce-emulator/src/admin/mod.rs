//! The tester's door, shut unless the server is started with it: look at rows, jobs, tokens and requests, inject faults,
//! move the clock. Below `/emulator`.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::Call;
use crate::emulator;
use crate::faults::Fault;
use crate::org::Org;
use crate::reply::{self, ApiError, Reply};
use crate::rest::record;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Clock {
    advance_seconds: i64,
}

pub(crate) async fn dispatch(org: &Arc<Org>, mut call: Call) -> Result<Reply, ApiError> {
    let folded = call.folded();
    let path: Vec<&str> = folded.iter().map(String::as_str).collect();
    match (&call.method, path.as_slice()) {
        (&Method::GET, ["jobs"]) => Ok(reply::ok(&emulator::jobs(org))),
        (&Method::GET, ["tokens"]) => Ok(reply::ok(&org.tokens().all(org.now(), org.config.session_timeout))),
        (&Method::DELETE, ["tokens"]) => {
            org.tokens().expire_sessions();
            Ok(reply::empty(StatusCode::NO_CONTENT))
        }
        (&Method::GET, ["requests"]) => Ok(reply::ok(&org.journal().entries().collect::<Vec<_>>())),
        (&Method::GET, ["objects"]) => Ok(reply::ok(&counts(org))),
        (&Method::GET, ["digest", _]) => digest(org, &call),
        (&Method::GET, ["rows", _]) => rows(org, &call),
        (&Method::GET, ["faults"]) => Ok(reply::ok(&org.faults().rules())),
        (&Method::POST, ["faults"]) => {
            let fault: Fault = call.json().await?;
            org.faults().add(fault);
            Ok(reply::empty(StatusCode::CREATED))
        }
        (&Method::DELETE, ["faults"]) => {
            org.faults().clear();
            Ok(reply::empty(StatusCode::NO_CONTENT))
        }
        (&Method::POST, ["clock"]) => {
            let clock: Clock = call.json().await?;
            org.advance_clock(clock.advance_seconds.saturating_mul(1000));
            Ok(reply::empty(StatusCode::NO_CONTENT))
        }
        _ => Err(ApiError::not_found()),
    }
}

fn counts(org: &Org) -> Value {
    let store = org.store();
    org.schema.objects.iter().enumerate().map(|(number, object)| (object.name.clone(), json!(store.count(number)))).collect()
}

fn selection(org: &Org, call: &Call) -> Result<(usize, Vec<usize>), ApiError> {
    let object = call.path.get(1).and_then(|name| org.schema.object(name)).ok_or_else(ApiError::not_found)?;
    let fields = record::field_list(&org.schema.objects[object], call.parameter("fields").unwrap_or("Id"))?;
    Ok((object, fields))
}

fn digest(org: &Org, call: &Call) -> Result<Reply, ApiError> {
    let (object, fields) = selection(org, call)?;
    let (count, sha256) = org.digest(object, &fields);
    Ok(reply::ok(&json!({"count": count, "sha256": sha256})))
}

fn rows(org: &Org, call: &Call) -> Result<Reply, ApiError> {
    let (object, fields) = selection(org, call)?;
    let store = org.store();
    let live = store.numbers(object).map(|number| store.view(object, number)).filter(|view| view.is_live());
    let rows: Vec<Vec<Option<String>>> =
        live.map(|view| fields.iter().map(|field| view.get(*field).map(|text| text.into_owned())).collect()).collect();
    Ok(reply::ok(&rows))
}
