//! CT logs as they fare in the world: they refuse, are slow, sign something else, or are away for a while.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ca::ports::CtSubmission;
use ct::{Endpoint, EndpointError};
use pki::{LogId, PublicKey, Sct};

use crate::chance::Chance;
use crate::executor::Executor;
use crate::ports::Layer;
use crate::tally::Tally;

/// The longest that a slow log takes: longer than any submitter waits.
const SLOW_MAX: Duration = Duration::from_secs(45);

/// How the logs fare.
#[derive(Debug)]
pub struct CtLogs {
    executor: Executor,
    chance: Chance,
    tally: Arc<Tally>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// So many of a thousand submissions go wrong.
    failing_permille: u32,
    away: BTreeSet<LogId>,
}

impl CtLogs {
    /// Logs of which so many of a thousand submissions go wrong.
    pub fn new(executor: Executor, seed: u64, failing_permille: u32, tally: Arc<Tally>) -> Self {
        let state = State { failing_permille, away: BTreeSet::new() }.into();
        Self { executor, chance: Chance::new(seed, "CT logs"), tally, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody reaches this log, or it is back.
    pub fn set_away(&self, log: LogId, away: bool) {
        let mut state = self.state();
        if away {
            state.away.insert(log);
        } else {
            state.away.remove(&log);
        }
    }

    /// From now on nothing goes wrong.
    pub fn calm(&self) {
        *self.state() = State { failing_permille: 0, away: BTreeSet::new() };
    }

    fn is_away(&self, log: LogId) -> bool {
        let away = self.state().away.contains(&log);
        if away {
            self.tally.fault("CT log away");
        }
        away
    }
}

impl Layer for Arc<CtLogs> {
    fn endpoint(&self, inner: Arc<dyn Endpoint>) -> Arc<dyn Endpoint> {
        Arc::new(Remote { inner, logs: Self::clone(self) })
    }
}

/// A log, seen over a network.
#[derive(Debug)]
struct Remote {
    inner: Arc<dyn Endpoint>,
    logs: Arc<CtLogs>,
}

#[async_trait]
impl Endpoint for Remote {
    fn log_id(&self) -> LogId {
        self.inner.log_id()
    }

    fn public_key(&self) -> &PublicKey {
        self.inner.public_key()
    }

    async fn add_pre_chain(&self, submission: &CtSubmission) -> Result<Sct, EndpointError> {
        let logs = &self.logs;
        if logs.is_away(self.log_id()) {
            return Err(EndpointError::Unreachable("simulated: nobody answers".to_owned()));
        }
        let failing = logs.state().failing_permille;
        if !logs.chance.happens(failing) {
            return self.inner.add_pre_chain(submission).await;
        }
        match logs.chance.below(5) {
            0 => {
                logs.tally.fault("CT log refuses");
                Err(EndpointError::Refused("simulated".to_owned()))
            }
            1 => {
                logs.tally.fault("CT log overloaded");
                Err(EndpointError::Status { status: 503, said: "simulated".to_owned() })
            }
            2 => {
                logs.tally.fault("CT log slow");
                logs.executor.sleep(logs.chance.time(Duration::ZERO, SLOW_MAX)).await;
                self.inner.add_pre_chain(submission).await
            }
            3 => {
                logs.tally.fault("CT log takes it, answer lost");
                self.inner.add_pre_chain(submission).await?;
                Err(EndpointError::Unreachable("simulated: the connection broke".to_owned()))
            }
            _ => {
                logs.tally.fault("CT log signs something else");
                let mut sct = self.inner.add_pre_chain(submission).await?;
                sct.timestamp = sct.timestamp.minus(Duration::from_millis(1));
                Ok(sct)
            }
        }
    }

    async fn probe(&self) -> Result<(), EndpointError> {
        if self.logs.is_away(self.log_id()) {
            return Err(EndpointError::Unreachable("simulated: nobody answers".to_owned()));
        }
        self.inner.probe().await
    }
}
