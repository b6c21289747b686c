//! Asks after the Secrets that Connections wait for, a few at a time, and has a Connection looked at when its Secret is not what it was.

use std::sync::Arc;
use std::time::Duration;

use domain::connection::TURN;
use tokio_util::sync::CancellationToken;

use super::super::state::Keeper;
use super::source;

pub(in crate::keeper) async fn run(keeper: Arc<Keeper>, stop: CancellationToken) {
    let turn = Duration::try_from(TURN).unwrap_or(Duration::from_secs(1));
    while stop.run_until_cancelled(tokio::time::sleep(turn)).await.is_some() {
        // While the time is in doubt nothing is taken in.
        let Ok(now) = keeper.now() else { continue };
        let asked = keeper.awaited().turn(now);
        let keeper = &keeper;
        futures::future::join_all(asked.into_iter().map(|(namespace, wanted)| async move {
            match source::changed(keeper, &namespace, &wanted.secret, &wanted.seen).await {
                Ok(true) => (keeper.wake_connection)(namespace, wanted.name),
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(namespace, secret = wanted.secret, error = error.chain(), "a Secret could not be asked after")
                }
            }
        }))
        .await;
    }
}
