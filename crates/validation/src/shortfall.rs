//! Why control was not shown.

use acme::{Problem, ProblemType};
use ca::ports::Validated;

/// Control was not shown.
#[derive(Debug)]
pub(crate) struct Shortfall {
    pub(crate) problem: Problem,
    prospect: Prospect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prospect {
    Lasting,
    Passing,
}

impl Shortfall {
    /// Another try would end the same way: the target answered, and wrongly.
    pub(crate) fn lasting(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self { problem: Problem::new(kind, detail), prospect: Prospect::Lasting }
    }

    /// Another try may end otherwise: the target, or what leads to it, did not answer.
    pub(crate) fn passing(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self { problem: Problem::new(kind, detail), prospect: Prospect::Passing }
    }

    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::lasting(ProblemType::Unauthorized, detail)
    }
}

impl From<Shortfall> for Validated {
    fn from(shortfall: Shortfall) -> Self {
        match shortfall.prospect {
            Prospect::Lasting => Self::Failed(shortfall.problem),
            Prospect::Passing => Self::MayPass(shortfall.problem),
        }
    }
}
