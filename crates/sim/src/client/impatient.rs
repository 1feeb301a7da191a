//! A client that does not wait: it sends the same several times at once, with different keys, and hangs up.

use std::sync::Arc;
use std::time::Duration;

use acme::OrderStatus;
use futures_util::future::{Either, join_all, select};
use serde_json::json;

use super::honest::Came;
use super::{Session, Task, Trouble};
use crate::keys::{SubjectKey, of_account, of_certificate};
use crate::world::World;

/// Finalize requests of one order that are sent at the same time.
const AT_ONCE: usize = 16;
/// Where the keys of those begin: nobody else's are among them.
const FIRST_KEY: usize = 30;
/// So many orders for one certificate.
const ORDERS_MAX: u32 = 40;

/// The whole life of the client.
pub(super) async fn run(world: &Arc<World>, task: &Task) {
    let mut session = Session::new(world, task.number, of_account(task.number));
    if session.register().await.is_none() {
        return;
    }
    for number in 0..task.orders {
        let names = session.draw_names(task.number, number);
        let mut pause = Duration::from_secs(5);
        for _ in 0..ORDERS_MAX {
            match session.hurry(&names).await {
                Ok(Came::Certificate(_) | Came::Never) => break,
                Ok(Came::Again | Came::OtherKey) => {}
                Err(trouble) => session.tell(|| format!("gives this order up: {trouble:?}")),
            }
            session.executor().sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(600));
        }
    }
}

impl Session {
    async fn hurry(&mut self, names: &[String]) -> Result<Came, Trouble> {
        // Two orders, perhaps the same: one of them is left where it is.
        let (mut beside, hangs_up) = (self.beside(AT_ONCE), self.chance.time(Duration::ZERO, Duration::from_secs(2)));
        let left = Box::pin(async move { beside.new_order(names, None).await.is_ok() });
        let hung_up = Box::pin(self.executor().sleep(hangs_up));
        let (ordered, _left) = futures_util::future::join(self.ready(names, None), select(left, hung_up)).await;
        let (url, order) = ordered?;
        if order.status == OrderStatus::Ready {
            self.finalize_at_once(&order.finalize, names, 300).await;
        }
        match self.end(&url).await {
            // It hung up before any of them had arrived.
            Err(Trouble::NoAnswer) => {
                self.finalize(&order.finalize, names, of_certificate(FIRST_KEY)).await?;
                self.end(&url).await
            }
            came => came,
        }
    }

    /// Sends finalize for one order many times at once, each time with another key; so many of a thousand are not
    /// waited for. Answers the number of keys for which it was told that they were taken.
    pub async fn finalize_at_once(&mut self, url: &str, names: &[String], hanging_up: u32) -> usize {
        let requests: Vec<_> = (0..AT_ONCE)
            .map(|number| {
                let hangs_up = self.chance.happens(hanging_up);
                let patience = hangs_up.then(|| self.chance.time(Duration::ZERO, Duration::from_secs(1)));
                self.beside(number).finalize_once(url, names, of_certificate(FIRST_KEY + number), patience)
            })
            .collect();
        let taken = join_all(requests).await.into_iter().filter(|taken| *taken).count();
        self.tell(|| format!("{AT_ONCE} finalize requests at once: {taken} were taken"));
        // A workbench that was rolled back does not know of the first one.
        let several = taken > 1 && !self.world.auditor.workbench_forgets;
        self.world.auditor.must_not_be(several, "finalize requests with different keys for one order were taken");
        if taken == 1 {
            self.world.auditor.told_finalized(url);
        }
        taken
    }

    /// Whether it was taken.
    async fn finalize_once(
        mut self,
        url: &str,
        names: &[String],
        key: &SubjectKey,
        patience: Option<Duration>,
    ) -> bool {
        let payload = json!({ "csr": Self::csr(names, key) }).to_string();
        let hung_up = Box::pin(self.executor().sleep(patience.unwrap_or(Duration::from_secs(300))));
        let request = Box::pin(self.try_post(url, payload.as_bytes()));
        match select(request, hung_up).await {
            Either::Left((answered, _)) => answered.is_ok(),
            Either::Right(_) => false,
        }
    }
}
