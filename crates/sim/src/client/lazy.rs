//! A client that stops anywhere and comes back much later, or never. What it finds then the auditor judges: an order
//! has ended only if its time was over, and is unknown only if its retention was over too.

use std::sync::Arc;
use std::time::Duration;

use acme::{OrderObject, OrderStatus};

use super::{Session, Task, Trouble};
use crate::keys::{of_account, of_certificate};
use crate::world::World;

/// It comes back so often before it is tired of it.
const VISITS_MAX: u32 = 30;

/// The whole life of the client.
pub(super) async fn run(world: &Arc<World>, task: &Task) {
    let mut session = Session::new(world, task.number, of_account(task.number));
    if session.register().await.is_none() {
        return;
    }
    for number in 0..task.orders {
        // What a lazy client gets is its own affair.
        if let Err(trouble) = session.dawdle(task.number, number).await {
            session.tell(|| format!("leaves its order alone: {trouble:?}"));
        }
    }
}

impl Session {
    async fn dawdle(&mut self, client: usize, number: u32) -> Result<(), Trouble> {
        let (names, key) = (self.draw_names(client, number), of_certificate(client * 8 + number as usize));
        let (url, _) = self.new_order(&names, None).await?;
        for _ in 0..VISITS_MAX {
            if self.chance.happens(100) {
                self.tell(|| "goes away and does not come back".to_owned());
                return Ok(());
            }
            self.pause().await;
            let Some(order) = self.look(&url).await? else { return Ok(()) };
            match (order.status, &order.certificate) {
                (OrderStatus::Pending, _) => {
                    // One after another, and perhaps not all of them this time.
                    for authorization in &order.authorizations {
                        self.answer(authorization).await?;
                        if self.chance.happens(200) {
                            break;
                        }
                    }
                }
                (OrderStatus::Ready, _) => self.finalize(&order.finalize, &names, key).await?,
                (OrderStatus::Processing, _) => {}
                (OrderStatus::Valid, Some(certificate)) => return self.download(certificate, &order).await,
                (OrderStatus::Valid, None) => return Err(Trouble::Nonsense(format!("{url} has no certificate"))),
                (OrderStatus::Invalid, _) => return Ok(()),
            }
        }
        Ok(())
    }

    /// The order, unless the server says that there is none.
    async fn look(&mut self, url: &str) -> Result<Option<OrderObject>, Trouble> {
        let sent = self.executor().now();
        match self.object::<OrderObject>(url, b"").await {
            Ok(order) => {
                self.world.auditor.told_order(url, order.status, order.certificate.as_deref(), sent);
                Ok(Some(order))
            }
            Err(Trouble::Refused(problem)) if problem.status == 404 => {
                self.tell(|| format!("finds its order gone: {}", problem.detail));
                self.world.auditor.told_unknown(url);
                Ok(None)
            }
            Err(trouble) => Err(trouble),
        }
    }

    async fn pause(&self) {
        let pause = match self.chance.below(10) {
            0..=5 => Duration::from_secs(2),
            6..=7 => self.chance.time(Duration::from_secs(10), Duration::from_secs(300)),
            8 => self.chance.time(Duration::from_secs(300), Duration::from_secs(1_800)),
            // So long that what had time for its client has none any more, where that time is short.
            _ => {
                let times = &self.world.settings;
                let long = times.times.order_lifetime + times.retention.invalid + Duration::from_secs(120);
                long.min(Duration::from_secs(3_600))
            }
        };
        self.executor().sleep(pause).await;
    }
}
