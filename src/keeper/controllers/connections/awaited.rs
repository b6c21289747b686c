//! Asks after the Secrets that Connections wait for, a few at a time, and has a Connection looked at when its Secret is not what it was.

use std::sync::Arc;
use std::time::Duration;

use domain::connection::TURN;
use tokio_util::sync::CancellationToken;

use crate::keeper::controllers::Controllers;

pub(crate) async fn run(controllers: Arc<Controllers>, stop: CancellationToken) {
    let turn = Duration::try_from(TURN).unwrap_or(Duration::from_secs(1));
    while stop.run_until_cancelled(tokio::time::sleep(turn)).await.is_some() {
        // While the time is in doubt nothing is taken in.
        let Ok(now) = controllers.cluster.now() else { continue };
        let asked = controllers.awaited().turn(now);
        let controllers = &controllers;
        futures::future::join_all(asked.into_iter().map(|(namespace, wanted)| async move {
            match controllers.vault.source_changed(&namespace, &wanted.source, &wanted.seen).await {
                Ok(true) => (controllers.wake_connection)(namespace, wanted.name),
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(namespace, source = %wanted.source, error = error.chain(), "what a Connection waits for could not be asked after")
                }
            }
        }))
        .await;
    }
}
