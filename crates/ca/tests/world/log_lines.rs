//! The lines of the structured log that tell of the nine steps.

use std::cell::RefCell;
use std::fmt;
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// A line for a step of the cycle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StepLine {
    pub(crate) step: u64,
    pub(crate) order: String,
    pub(crate) serial: Option<String>,
    pub(crate) took_us: Option<u64>,
}

thread_local! {
    // A case has a thread of its own, on which all of its workers run.
    static LINES: RefCell<Vec<StepLine>> = const { RefCell::new(Vec::new()) };
    static ERRORS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Collects for every thread by itself. It is the default of the whole process, since a subscriber of one thread alone
/// misses what another thread has met first.
struct Collector;

/// From now on the steps of this thread are collected.
pub(crate) fn collect() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Collector).expect("nobody else collects"));
}

/// The lines of this case so far.
pub(crate) fn steps() -> Vec<StepLine> {
    LINES.with_borrow(Clone::clone)
}

/// What was told at error level so far.
pub(crate) fn errors() -> Vec<String> {
    ERRORS.with_borrow(Clone::clone)
}

#[derive(Default)]
struct Fields {
    message: String,
    line: StepLine,
    is_step: bool,
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "step" => {
                self.line.step = value;
                self.is_step = true;
            }
            "took_us" => self.line.took_us = Some(value),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "order" => self.line.order = format!("{value:?}"),
            "serial" => self.line.serial = Some(format!("{value:?}")),
            _ => {}
        }
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if *event.metadata().level() == Level::ERROR {
            ERRORS.with_borrow_mut(|errors| errors.push(fields.message));
        }
        if fields.is_step {
            LINES.with_borrow_mut(|lines| lines.push(fields.line));
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
