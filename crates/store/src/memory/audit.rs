//! The audit log in memory.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use ca::InstanceId;
use ca::ports::{AuditEvent, AuditLine, AuditLog, AuditMark, Clock, Reservation, StoreError, StoreErrorKind, Stored};
use pki::Sha256;

use super::lock;
use crate::audit::CHAIN_START;

/// An audit log in memory, chained like the one on files; nothing of it outlives the process.
#[derive(Debug)]
pub struct MemoryAuditLog {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// Each line with the chain's hash before it.
    lines: Vec<(AuditLine, Sha256)>,
    end: Sha256,
    outstanding: BTreeSet<u64>,
    octets: u64,
    octets_max: u64,
    reserved: u64,
}

impl MemoryAuditLog {
    /// The log of this instance, with its first line, and room for so many octets in all.
    pub fn new(instance: InstanceId, clock: Arc<dyn Clock>, octets_max: u64) -> Self {
        let mut state = State {
            lines: Vec::new(),
            end: CHAIN_START,
            outstanding: BTreeSet::new(),
            octets: 0,
            octets_max,
            reserved: 0,
        };
        let at = clock.now();
        state.add(AuditLine { sequence: 0, at, event: AuditEvent::Begun { instance } }, CHAIN_START, 0);
        Self { clock, state: Arc::new(Mutex::new(state)) }
    }

    /// Forgets what was applied, as the death of the process does.
    pub fn restart(&self) {
        let mut state = lock(&self.state);
        state.outstanding.clear();
        state.reserved = 0;
    }
}

impl State {
    fn add(&mut self, line: AuditLine, end: Sha256, octets: u64) {
        if line.event.is_for_ledger() {
            self.outstanding.insert(line.sequence);
        }
        self.lines.push((line, self.end));
        self.end = end;
        self.octets += octets;
    }

    fn mark_at(&self, sequence: u64) -> AuditMark {
        let line = usize::try_from(sequence).ok().and_then(|at| self.lines.get(at));
        AuditMark { sequence, chain: line.map_or(self.end, |(_, before)| *before) }
    }
}

fn full() -> StoreError {
    StoreError::new(StoreErrorKind::Full, "the audit log has no room left")
}

/// Room that is given back when this is dropped.
#[derive(Debug)]
struct Kept {
    state: Arc<Mutex<State>>,
    octets: u64,
}

impl Reservation for Kept {}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.reserved = state.reserved.saturating_sub(self.octets);
    }
}

#[async_trait]
impl AuditLog for MemoryAuditLog {
    async fn reserve(&self, octets: u64) -> Stored<Box<dyn Reservation>> {
        let mut state = lock(&self.state);
        let reserved = state.reserved.saturating_add(octets);
        if state.octets.saturating_add(reserved) > state.octets_max {
            return Err(full());
        }
        state.reserved = reserved;
        drop(state);
        Ok(Box::new(Kept { state: Arc::clone(&self.state), octets }))
    }

    async fn append(&self, event: AuditEvent) -> Stored<u64> {
        let mut state = lock(&self.state);
        let (sequence, at) = (state.lines.len() as u64, self.clock.now());
        let (text, end) = crate::audit::encode(sequence, at, &event, state.end, sequence)
            .map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error.to_string()))?;
        let octets = text.len() as u64 + 1;
        if state.octets + octets > state.octets_max {
            return Err(full());
        }
        state.add(AuditLine { sequence, at, event }, end, octets);
        Ok(sequence)
    }

    fn applied(&self, sequence: u64) {
        lock(&self.state).outstanding.remove(&sequence);
    }

    fn mark(&self) -> AuditMark {
        let state = lock(&self.state);
        state.mark_at(state.outstanding.first().copied().unwrap_or(state.lines.len() as u64))
    }

    async fn lines(&self, from: AuditMark, limit: usize) -> Stored<(Vec<AuditLine>, AuditMark)> {
        let state = lock(&self.state);
        let end = state.lines.len() as u64;
        if from.sequence > end || (from.sequence > 0 && state.mark_at(from.sequence) != from) {
            let detail = format!("the audit log has no line {} after {}", from.sequence, from.chain);
            return Err(StoreError::new(StoreErrorKind::Corrupt, detail));
        }
        let first = usize::try_from(from.sequence).unwrap_or(usize::MAX);
        let page: Vec<AuditLine> = state.lines[first..].iter().take(limit).map(|(line, _)| line.clone()).collect();
        let next = state.mark_at(from.sequence + page.len() as u64);
        Ok((page, next))
    }
}
