//! What operators do while a storm goes on: they stop issuance and let it go on, revoke many certificates at once, and
//! block keys. Each repeats his command until he is told that it is done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use acme::DnsName;
use ca::ports::{Ledger, SerialFilter, StopRecord, StopScope};
use ca::{Answer, Ca, Error, Resumed, STOPS_MAX};
use pki::{Reason, Serial, Sha256};
use tokio::sync::oneshot;

use crate::audit::now;
use crate::chance::Chance;
use crate::client::Temper;
use crate::executor::Node;
use crate::keys::of_account;
use crate::world::World;

const BY: &str = "operator";
/// So long an operator waits before he repeats a command that was not done.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Somebody sees to stops that nobody knows of so often.
const LOOKS: Duration = Duration::from_secs(30);
const ALL: u32 = 10_000;

/// What operators set out to do, and how often.
#[derive(Clone, Copy, Debug, Default)]
pub struct Operations {
    /// Issuance is stopped, and goes on later.
    pub stops: u32,
    /// Many certificates are revoked at once.
    pub revocations: u32,
    /// A key is blocked.
    pub key_blocks: u32,
}

impl Operations {
    pub(crate) fn draw(seed: u64) -> Self {
        let chance = Chance::new(seed, "operations");
        Self {
            stops: chance.one_of(&[0, 0, 0, 1, 2]),
            revocations: chance.one_of(&[0, 0, 0, 1]),
            key_blocks: chance.one_of(&[0, 0, 0, 1]),
        }
    }
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Operator {
    world: Arc<World>,
    chance: Chance,
}

impl World {
    /// Everything that the scenario has in store.
    pub(crate) fn begin_operators(self: &Arc<Self>) {
        let Operations { stops, revocations, key_blocks } = self.scenario.operations;
        for number in 0..stops {
            self.some_operator(&format!("stop {number}"), |operator| async move { operator.stops_for_a_while().await });
        }
        for number in 0..revocations {
            self.some_operator(&format!("revocation {number}"), |operator| async move { operator.revokes().await });
        }
        for number in 0..key_blocks {
            self.some_operator(&format!("key block {number}"), |operator| async move { operator.blocks().await });
        }
    }

    /// At some time of the storm.
    fn some_operator<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        purpose: &str,
        acts: impl FnOnce(Operator) -> F + Send + 'static,
    ) {
        let operator = Operator::new(self, purpose);
        let at = operator.chance.time(Duration::ZERO, self.scenario.storm);
        let world = Arc::clone(self);
        world.operators.fetch_add(1, Ordering::Relaxed);
        self.executor.spawn(Node::WORLD, async move {
            world.executor.sleep(at).await;
            if !world.is_calm() {
                acts(operator).await;
            }
            world.operators.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// When the storm is over, stops end that their operator does not know of: he was told that they failed.
    pub(crate) fn see_to_stops(self: &Arc<Self>) {
        let operator = Operator::new(self, "after the storm");
        self.executor.spawn(Node::WORLD, async move {
            loop {
                operator.world.executor.sleep(LOOKS).await;
                for stop in operator.standing() {
                    if !operator.world.auditor.is_to_stand(&stop) {
                        operator.resume(Resumed::Number(stop.number)).await;
                    }
                }
            }
        });
    }
}

impl Operator {
    pub(crate) fn new(world: &Arc<World>, purpose: &str) -> Self {
        Self { world: Arc::clone(world), chance: Chance::new(world.seed, &format!("operator: {purpose}")) }
    }

    /// Repeats a command, at whatever server, until it is done or refused.
    async fn insist<T, F>(&self, mut command: impl FnMut(Arc<Ca>) -> F + Send) -> Result<T, String>
    where
        T: Send + 'static,
        F: Future<Output = Answer<T>> + Send + 'static,
    {
        loop {
            let machine = &self.world.machines[self.chance.place(self.world.machines.len())];
            if let Some((node, ca)) = machine.ca() {
                let (answers, answered) = oneshot::channel();
                let commanded = command(ca);
                self.world.executor.spawn(node, async move {
                    // He waits for as long as the process lives.
                    let _sent = answers.send(commanded.await);
                });
                match answered.await {
                    Ok(Ok(done)) => return Ok(done),
                    Ok(Err(Error::Refused(problem))) => return Err(problem.detail),
                    // It may have been done, or may yet be.
                    Ok(Err(Error::Failed(_))) | Err(_) => {}
                }
            }
            self.world.executor.sleep(self.chance.time(Duration::from_secs(1), PAUSE_MAX)).await;
        }
    }

    fn standing(&self) -> Vec<StopRecord> {
        now(self.world.stores.ledger.stops(true, STOPS_MAX)).unwrap_or_default()
    }

    async fn stops_for_a_while(&self) {
        let Some(scope) = self.draw_scope() else { return };
        self.world.tally.nuisance("issuance stopped");
        self.stop(&scope).await;
        let seconds = Duration::from_secs;
        self.world.executor.sleep(self.chance.one_of(&[seconds(5), seconds(20), seconds(60)])).await;
        self.go_on(&scope).await;
    }

    fn draw_scope(&self) -> Option<StopScope> {
        let clients = self.world.scenario.clients.len().max(1);
        Some(match self.chance.below(4) {
            0 => StopScope::All,
            1 => {
                let profiles = &self.world.settings.profiles;
                StopScope::Profile(profiles[self.chance.place(profiles.len())].name.clone())
            }
            2 => {
                let accounts = now(self.world.stores.ledger.accounts(None, ALL)).unwrap_or_default();
                StopScope::Account(accounts.get(self.chance.place(accounts.len().max(1)))?.id)
            }
            _ => StopScope::Name(DnsName::parse(&format!("client{}.example.com", self.chance.place(clients))).ok()?),
        })
    }

    /// Stops issuance: once this returns, he counts on it.
    pub(crate) async fn stop(&self, scope: &StopScope) {
        let auditor = &self.world.auditor;
        auditor.asks_to_stop(scope);
        let stopped = self.insist(|ca| {
            let scope = scope.clone();
            async move { ca.stop_issuance(scope, "an incident", BY).await }
        });
        match stopped.await {
            Ok(stop) => auditor.told_stopped(&stop),
            // The answer that it was done got lost, or somebody else did it.
            Err(why) => match self.standing().into_iter().find(|stop| stop.scope == *scope) {
                Some(stop) => auditor.told_stopped(&stop),
                None => self.world.story.tell(|| format!("an operator can't stop issuance: {why}")),
            },
        }
    }

    /// Lets it go on: once this returns, he counts on that.
    pub(crate) async fn go_on(&self, scope: &StopScope) {
        self.resume(Resumed::Scope(scope.clone())).await;
    }

    async fn resume(&self, which: Resumed) {
        self.world.auditor.asks_to_resume(&which);
        let resumed = self.insist(|ca| {
            let which = which.clone();
            async move { ca.resume_issuance(&which, BY).await }
        });
        let ended = resumed.await.unwrap_or_else(|why| {
            self.world.story.tell(|| format!("an operator has nothing to resume: {why}"));
            Vec::new()
        });
        self.world.auditor.told_resumed(&which, &ended);
    }

    async fn revokes(&self) {
        let records = now(self.world.stores.ledger.serials(SerialFilter::default(), ALL)).unwrap_or_default();
        let chosen: BTreeSet<Serial> =
            records.iter().filter(|_| self.chance.happens(500)).map(|record| record.serial).collect();
        if chosen.is_empty() {
            return;
        }
        self.world.tally.nuisance("many revoked at once");
        self.world.story.tell(|| format!("an operator revokes {} serials at once", chosen.len()));
        let revoked = self.insist(|ca| {
            let chosen = chosen.clone();
            async move { ca.revoke_all(&chosen, Reason::Superseded, BY).await }
        });
        match revoked.await {
            Ok(_) => chosen.iter().for_each(|serial| self.world.auditor.told_revoked(*serial)),
            Err(why) => self.world.auditor.found(5, format!("serials that were allocated can't be revoked: {why}")),
        }
    }

    async fn blocks(&self) {
        let Some(key) = self.draw_key() else { return };
        self.world.tally.nuisance("key blocked by an operator");
        self.world.story.tell(|| format!("an operator blocks the key {key}"));
        match self.insist(|ca| async move { ca.block_key(key, BY).await }).await {
            Ok(()) => self.world.auditor.told_blocked(key),
            Err(why) => self.world.auditor.found(12, format!("a key can't be blocked: {why}")),
        }
    }

    /// The key of a certificate, or of an account whose client does not mind.
    fn draw_key(&self) -> Option<Sha256> {
        let lazy = self.world.scenario.clients.iter().find(|task| task.temper == Temper::Lazy);
        if let Some(lazy) = lazy.filter(|_| self.chance.happens(300)) {
            let key = of_account(lazy.number);
            let account = now(self.world.stores.ledger.account_by_key(key.jwk().thumbprint())).ok().flatten();
            return account.map(|account| Sha256::of(&account.key.spki_der()));
        }
        let records = now(self.world.stores.ledger.serials(SerialFilter::default(), ALL)).unwrap_or_default();
        records.get(self.chance.place(records.len().max(1))).map(|record| record.spki_hash)
    }
}
