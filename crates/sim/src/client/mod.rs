//! ACME clients: requests are signed and sent as by anyone else.

mod careful;
mod honest;
mod hostile;
mod impatient;
mod lazy;
mod scripted;
mod session;

use std::sync::Arc;
use std::time::Duration;

use crate::world::World;

pub use scripted::Script;
pub use session::{Session, Trouble};

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    /// Does what it should until it has its certificate.
    Honest,
    /// The same; then it renews, revokes, and changes its account's key.
    Careful,
    /// Stops anywhere, and comes back much later or never.
    Lazy,
    /// Sends the same several times at once, and hangs up.
    Impatient,
    /// Wants what is not its own, and ends what is under way.
    Hostile,
    /// Follows a script.
    Follows(Script),
}

/// What a client is to do.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its number.
    pub number: usize,
    /// How it behaves.
    pub temper: Temper,
    /// How many certificates it wants.
    pub orders: u32,
    /// When it begins.
    pub begins: Duration,
}

impl Task {
    /// The client, from its first request to its last.
    pub async fn run(self, world: Arc<World>) {
        world.executor.sleep(self.begins).await;
        match self.temper {
            Temper::Honest => honest::run(&world, &self).await,
            Temper::Careful => careful::run(&world, &self).await,
            Temper::Lazy => lazy::run(&world, &self).await,
            Temper::Impatient => impatient::run(&world, &self).await,
            Temper::Hostile => hostile::run(&world, &self).await,
            Temper::Follows(script) => scripted::run(&world, &self, script).await,
        }
        world.client_done(self.number);
    }
}
