//! What befalls machines and stores from outside while a storm goes on: processes are killed, clocks jump, the
//! workbench is lost or comes back from a snapshot, CT logs are away.

use std::sync::Arc;
use std::time::Duration;

use ca::ports::LogKey;
use keys::FileLogKey;
use store::memory::MemoryWorkbench;

use crate::chance::Chance;
use crate::clock::SimClock;
use crate::executor::Node;
use crate::keys::of_log;
use crate::world::World;

/// A snapshot to which the workbench is rolled back is at most this old.
const SNAPSHOT_AGE_MAX: Duration = Duration::from_secs(90);
/// The longest that a CT log is away.
const AWAY_MAX: Duration = Duration::from_secs(200);
/// An operator looks at a clock that is said to be wrong so often.
pub(crate) const OPERATOR: Duration = Duration::from_secs(60);

impl World {
    /// Everything that the scenario has in store.
    pub(crate) fn begin_mishaps(self: &Arc<Self>) {
        for _ in 0..self.scenario.kills {
            self.some_time(|world| async move { world.kill_one() });
        }
        for _ in 0..self.scenario.clock_jumps {
            self.some_time(|world| async move { world.clock_jumps() });
        }
        for _ in 0..self.scenario.workbench_losses {
            self.some_time(Self::workbench_fails);
        }
        for _ in 0..self.scenario.logs_away {
            self.some_time(Self::log_is_away);
        }
    }

    /// Does this at some time of the storm, if that isn't over before.
    fn some_time<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        mishap: impl FnOnce(Arc<Self>) -> F + Send + 'static,
    ) {
        let at = self.chance.time(Duration::ZERO, self.scenario.storm);
        let world = Arc::clone(self);
        self.executor.spawn(Node::WORLD, async move {
            world.executor.sleep(at).await;
            if !world.is_calm() {
                mishap(world).await;
            }
        });
    }

    fn kill_one(&self) {
        let machine = &self.machines[self.chance.place(self.machines.len())];
        if let Some(node) = machine.node() {
            self.tally.fault("killed");
            self.story.tell(|| format!("server {}: is killed", machine.number));
            self.executor.kill(node);
        }
    }

    fn clock_jumps(&self) {
        let clock = &self.clocks[self.chance.place(self.clocks.len())];
        let longest = self.scenario.clock_jump_max;
        let to = if self.chance.happens(200) {
            0
        } else {
            let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
            millis(self.chance.time(Duration::ZERO, longest * 2)) - millis(longest)
        };
        let by = to - clock.ahead();
        self.tally.fault(if by < 0 { "clock jumps back" } else { "clock jumps forward" });
        self.set_clock(clock, to);
    }

    fn set_clock(&self, clock: &SimClock, to: i64) {
        self.story.tell(|| format!("a clock that was {} ms ahead is set to be {to} ms ahead", clock.ahead()));
        clock.set_ahead(to);
        self.auditor.clock_was_set();
    }

    /// All clocks are set right. If they were far off, an operator says so.
    pub(crate) fn set_clocks_right(self: &Arc<Self>) {
        for clock in self.clocks.iter().filter(|clock| clock.ahead() != 0) {
            self.set_clock(clock, 0);
        }
        if !self.scenario.has_leaps() {
            return;
        }
        let world = Arc::clone(self);
        self.executor.spawn(Node::WORLD, async move {
            loop {
                world.executor.sleep(OPERATOR).await;
                for machine in &world.machines {
                    let Some((node, ca)) = machine.ca() else { continue };
                    world.executor.spawn(node, async move {
                        // Whatever it answers, it is tried again.
                        let _accepted = ca.accept_clock("operator").await;
                    });
                }
            }
        });
    }

    /// All is lost, or a snapshot is all that is left.
    async fn workbench_fails(self: Arc<Self>) {
        let workbench = &self.stores.workbench;
        let image = if self.chance.happens(400) {
            self.tally.fault("workbench lost");
            let nobody = Arc::new(Chance::new(self.seed, "an empty workbench"));
            MemoryWorkbench::new(Arc::new(self.clocks[0].clone()), nobody, 1).image()
        } else {
            let image = workbench.image();
            self.executor.sleep(self.chance.time(Duration::ZERO, SNAPSHOT_AGE_MAX)).await;
            if self.is_calm() {
                return;
            }
            self.tally.fault("workbench rolled back");
            image
        };
        self.story.tell(|| "the workbench is lost, or rolled back to a snapshot".to_owned());
        workbench.restore(&image);
        workbench.forget_nonces();
        self.stores.unsynced.synced();
        self.auditor.workbench_was_restored();
    }

    async fn log_is_away(self: Arc<Self>) {
        let number = self.chance.place(self.logs);
        let Ok(key) = FileLogKey::new(of_log(number)) else { return };
        self.story.tell(|| format!("CT log {number} is away"));
        self.ct_logs.set_away(key.log_id(), true);
        self.executor.sleep(self.chance.time(Duration::from_secs(1), AWAY_MAX)).await;
        self.ct_logs.set_away(key.log_id(), false);
    }
}
