//! One thread, one seed: tasks that belong to processes, of which the seed chooses the next one to be polled, and a
//! time that jumps to the next timer when nobody has anything to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::chance::Chance;

/// What tasks belong to: a process from its start to its death, or the world outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(u32);

impl Node {
    /// The world outside: it doesn't die.
    pub const WORLD: Self = Self(0);
}

/// A task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

/// Runs everything. Cloned, it is the same.
#[derive(Clone)]
pub struct Executor(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    chance: Chance,
}

#[derive(Default)]
struct State {
    now: Duration,
    next: u64,
    nodes: u32,
    tasks: BTreeMap<TaskId, Task>,
    /// Each stands here at most once.
    ready: Vec<TaskId>,
    timers: BTreeMap<(Duration, u64), Waker>,
    /// Their tasks are not polled before this time.
    frozen: BTreeMap<Node, Duration>,
    dead: BTreeSet<Node>,
    /// Died, and nobody was told yet.
    deaths: Vec<Node>,
    steps: u64,
}

struct Task {
    node: Node,
    /// Taken out while it is polled.
    future: Option<BoxFuture<'static, ()>>,
    waker: Waker,
    ready: bool,
}

struct Awake {
    shared: Weak<Shared>,
    task: TaskId,
}

impl Wake for Awake {
    fn wake(self: Arc<Self>) {
        if let Some(shared) = self.shared.upgrade() {
            shared.lock().make_ready(self.task);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn make_ready(&mut self, id: TaskId) {
        if let Some(task) = self.tasks.get_mut(&id).filter(|task| !task.ready) {
            task.ready = true;
            self.ready.push(id);
        }
    }

    fn is_frozen(&self, node: Node) -> bool {
        self.frozen.get(&node).is_some_and(|until| *until > self.now)
    }

    /// The place in `ready` of one that may run.
    fn choose(&self, chance: &Chance) -> Option<usize> {
        if !self.frozen.values().any(|until| *until > self.now) {
            // It may be one that was ended: then nothing is done.
            return (!self.ready.is_empty()).then(|| chance.place(self.ready.len()));
        }
        let runs = |id: &TaskId| self.tasks.get(id).is_some_and(|task| !self.is_frozen(task.node));
        let places: Vec<usize> = (0..self.ready.len()).filter(|at| runs(&self.ready[*at])).collect();
        (!places.is_empty()).then(|| places[chance.place(places.len())])
    }

    /// When something can happen again.
    fn next_moment(&self) -> Option<Duration> {
        let timer = self.timers.keys().next().map(|(at, _)| *at);
        let waits = |node: Node| self.ready.iter().any(|id| self.tasks.get(id).is_some_and(|task| task.node == node));
        let thaws = self.frozen.iter().filter(|(node, until)| **until > self.now && waits(**node));
        timer.into_iter().chain(thaws.map(|(_, until)| *until)).min()
    }
}

impl Executor {
    /// Nothing to do yet, at time 0.
    pub fn new(seed: u64) -> Self {
        let chance = Chance::new(seed, "schedule");
        Self(Arc::new(Shared { state: Mutex::default(), chance }))
    }

    /// The time since the beginning.
    pub fn now(&self) -> Duration {
        self.0.lock().now
    }

    /// How often a task was polled.
    pub fn steps(&self) -> u64 {
        self.0.lock().steps
    }

    /// A new process, without tasks.
    pub fn node(&self) -> Node {
        let mut state = self.0.lock();
        state.nodes += 1;
        Node(state.nodes)
    }

    /// Begins a task of a process. One that is dead begins nothing.
    pub fn spawn(&self, node: Node, work: impl Future<Output = ()> + Send + 'static) -> Option<TaskId> {
        self.spawn_boxed(node, Box::pin(work))
    }

    /// The same.
    pub fn spawn_boxed(&self, node: Node, work: BoxFuture<'static, ()>) -> Option<TaskId> {
        let mut state = self.0.lock();
        if state.dead.contains(&node) {
            drop(state);
            drop(work);
            return None;
        }
        let id = TaskId(state.next);
        state.next += 1;
        let waker = Waker::from(Arc::new(Awake { shared: Arc::downgrade(&self.0), task: id }));
        state.tasks.insert(id, Task { node, future: Some(work), waker, ready: false });
        state.make_ready(id);
        Some(id)
    }

    /// Ends a task where it stands.
    pub fn cancel(&self, id: TaskId) {
        // Dropped without the lock: whatever it held may want to wake others.
        let gone = self.0.lock().tasks.remove(&id);
        drop(gone);
    }

    /// The process dies: none of its tasks does anything any more. They are dropped before the next step.
    pub fn kill(&self, node: Node) {
        let mut state = self.0.lock();
        if state.dead.insert(node) {
            state.deaths.push(node);
        }
    }

    /// Whether a process has died.
    pub fn is_dead(&self, node: Node) -> bool {
        self.0.lock().dead.contains(&node)
    }

    /// The process does nothing for so long, while time goes on for all others (SIGSTOP).
    pub fn freeze(&self, node: Node, time: Duration) {
        let mut state = self.0.lock();
        let until = state.now + time;
        state.frozen.insert(node, until);
    }

    /// Drops the tasks of those that died since the last call, and names them.
    pub fn bury(&self) -> Vec<Node> {
        let mut state = self.0.lock();
        if state.deaths.is_empty() {
            return Vec::new();
        }
        let deaths = std::mem::take(&mut state.deaths);
        let of_dead: Vec<TaskId> =
            state.tasks.iter().filter(|(_, task)| deaths.contains(&task.node)).map(|(id, _)| *id).collect();
        let gone: Vec<Task> = of_dead.iter().filter_map(|id| state.tasks.remove(id)).collect();
        drop(state);
        drop(gone);
        deaths
    }

    /// Drops everything that is left.
    pub fn end(&self) {
        let tasks = std::mem::take(&mut self.0.lock().tasks);
        drop(tasks);
    }

    /// Polls one task that is ready, or lets time jump to the next timer, if that is not after `until`. `false`: there
    /// is nothing to do.
    pub fn step(&self, until: Duration) -> bool {
        let mut state = self.0.lock();
        let Some(at) = state.choose(&self.0.chance) else {
            drop(state);
            return self.jump(until);
        };
        let id = state.ready.swap_remove(at);
        state.steps += 1;
        let Some(task) = state.tasks.get_mut(&id) else { return true };
        task.ready = false;
        let (node, future, waker) = (task.node, task.future.take(), task.waker.clone());
        if state.dead.contains(&node) {
            drop(state);
            drop(future);
            return true;
        }
        drop(state);
        let Some(mut future) = future else { return true };
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        let mut state = self.0.lock();
        match (polled, state.tasks.get_mut(&id)) {
            (Poll::Pending, Some(task)) => task.future = Some(future),
            (Poll::Ready(()), _) | (Poll::Pending, None) => {
                let gone = state.tasks.remove(&id);
                drop(state);
                drop((gone, future));
            }
        }
        true
    }

    fn jump(&self, until: Duration) -> bool {
        let mut state = self.0.lock();
        let Some(moment) = state.next_moment().filter(|moment| *moment <= until) else {
            return false;
        };
        state.now = state.now.max(moment);
        let now = state.now;
        let later = state.timers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut state.timers, later);
        drop(state);
        for waker in due.into_values() {
            waker.wake();
        }
        true
    }

    /// Time goes on to this moment, if nothing stands before it.
    pub fn pass_until(&self, moment: Duration) {
        let mut state = self.0.lock();
        state.now = state.now.max(moment);
    }

    /// Ends after so long.
    pub fn sleep(&self, time: Duration) -> Sleep {
        let state = self.0.lock();
        let until = state.now.saturating_add(time);
        drop(state);
        Sleep { shared: Arc::clone(&self.0), until, key: None }
    }

    /// Lets others run that are ready.
    pub async fn give_way(&self) {
        let mut gave = false;
        std::future::poll_fn(|context| {
            if gave {
                return Poll::Ready(());
            }
            gave = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        write!(f, "Executor({:?}, {} tasks)", state.now, state.tasks.len())
    }
}

/// See [`Executor::sleep`].
pub struct Sleep {
    shared: Arc<Shared>,
    until: Duration,
    key: Option<(Duration, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (until, known) = (self.until, self.key);
        let mut state = self.shared.lock();
        if let Some(key) = known {
            state.timers.remove(&key);
        }
        if state.now >= until {
            drop(state);
            self.key = None;
            return Poll::Ready(());
        }
        let key = (until, state.next);
        state.next += 1;
        state.timers.insert(key, context.waker().clone());
        drop(state);
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let gone = self.shared.lock().timers.remove(&key);
            drop(gone);
        }
    }
}
