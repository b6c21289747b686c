//! Composite graphs: each graph is all or nothing, graphs are independent.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Subrequest, halt, run};
use crate::call::Call;
use crate::org::Org;
use crate::reply::{self, ApiError, Reply};

const MOST_GRAPHS: usize = 75;
const MOST_NODES: usize = 500;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Graph {
    graph_id: String,
    composite_request: Vec<Subrequest>,
}

#[derive(Deserialize)]
struct Graphs {
    graphs: Vec<Graph>,
}

pub(super) async fn graphs(org: &Arc<Org>, call: &mut Call) -> Result<Reply, ApiError> {
    let request: Graphs = call.json().await?;
    let nodes: usize = request.graphs.iter().map(|graph| graph.composite_request.len()).sum();
    if request.graphs.len() > MOST_GRAPHS || nodes > MOST_NODES {
        return Err(ApiError::bad("INVALID_INPUT", format!("A payload may have {MOST_GRAPHS} graphs and {MOST_NODES} nodes")));
    }
    let mut answers = Vec::with_capacity(request.graphs.len());
    for graph in &request.graphs {
        let headers = call.headers.clone();
        let (responses, failed): (Vec<Value>, bool) = org
            .transaction(async {
                let (mut responses, failed) = run(org, &headers, &graph.composite_request).await;
                if failed {
                    responses.iter_mut().for_each(halt);
                }
                ((responses, failed), !failed)
            })
            .await;
        answers.push(json!({
            "graphId": graph.graph_id, "graphResponse": {"compositeResponse": responses}, "isSuccessful": !failed,
        }));
    }
    Ok(reply::ok(&json!({"graphs": answers})))
}
