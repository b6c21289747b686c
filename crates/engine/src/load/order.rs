//! Result rows are written chunk by chunk in order, although chunks end in any order: each waits for its turn.

use std::collections::BTreeSet;

use tokio::sync::watch;

pub(crate) struct WriteOrder(watch::Sender<BTreeSet<i64>>);

impl WriteOrder {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(BTreeSet::new()))
    }

    /// This chunk will have its turn; say so before a later one can.
    pub(crate) fn announce(&self, number: i64) {
        self.0.send_modify(|waiting| {
            waiting.insert(number);
        });
    }

    pub(crate) async fn turn(&self, number: i64) {
        let _ = self.0.subscribe().wait_for(|waiting| waiting.first().is_none_or(|first| *first >= number)).await;
    }

    pub(crate) fn done(&self, number: i64) {
        self.0.send_modify(|waiting| {
            waiting.remove(&number);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[tokio::test]
    async fn turns_come_in_order_of_numbers_and_not_of_asking() {
        let order = Arc::new(WriteOrder::new());
        let seen = Arc::new(Mutex::new(Vec::new()));
        (0..5).for_each(|n| order.announce(n));
        let tasks: Vec<_> = (0..5)
            .rev()
            .map(|n| {
                let (order, seen) = (order.clone(), seen.clone());
                tokio::spawn(async move {
                    order.turn(n).await;
                    seen.lock().unwrap().push(n);
                    tokio::task::yield_now().await;
                    order.done(n);
                })
            })
            .collect();
        futures::future::join_all(tasks).await;
        assert_eq!(*seen.lock().unwrap(), [0, 1, 2, 3, 4]);
    }
}
