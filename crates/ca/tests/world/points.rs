//! Points at which a case holds a worker, or lets a port fail.

use std::future::Future;
use std::sync::Mutex;

use ca::ports::{CtError, SignError, StoreError, StoreErrorKind};
use tokio::sync::oneshot;

/// A call of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    // The ledger.
    CreateAccount,
    CreateBoundAccount,
    AddExternalAccountKey,
    ExternalAccountKey,
    ExternalAccountKeys,
    RevokeExternalAccountKey,
    Account,
    AccountByKey,
    Accounts,
    UpdateContact,
    AgreeToTerms,
    FirstTermsVersion,
    ChangeKey,
    DeactivateAccount,
    Authorize,
    DeactivateAuthorization,
    Authorizations,
    AuthorizedFor,
    GoodAuthorizations,
    LedgerOrder,
    LedgerOrdersOf,
    EndedOrders,
    EndedByOurFault,
    RecordRechecks,
    Rechecks,
    Begin,
    MarkGood,
    StoreFinal,
    Finish,
    IssuanceFailed,
    OpenOrders,
    Serial,
    Status,
    Serials,
    LastSerial,
    NamesBelow,
    SigningRecord,
    Revoke,
    UpgradeToKeyCompromise,
    Block,
    IsBlocked,
    BlockedKey,
    BlockedKeys,
    UnrevokedOfKey,
    SettleBlock,
    Stop,
    Resume,
    StopsOf,
    StandingStops,
    Stops,
    CrlGenerations,
    AddCrlGeneration,
    EndCrlGeneration,
    CrlState,
    LastCrl,
    AllocateCrlNumber,
    PutCrlPart,
    CrlPart,
    StoreCrl,
    CrlLeftovers,
    DropCrlParts,
    ListRevoked,
    StoreAuthority,
    HasAuthority,
    Authorities,
    AddResponder,
    StoreResponder,
    Responder,
    Responders,
    AuditMark,
    SetAuditMark,
    LedgerDelivered,
    LedgerAcknowledged,
    Replacement,
    Replace,
    AddRenewalRule,
    WithdrawRenewalRule,
    RenewalRulesFor,
    RenewalRules,
    CountRenewals,
    BeginRecovery,
    Restore,
    Unsettled,
    SettleRestored,
    AbandonRecovery,
    EndRecovery,
    Recoveries,
    LedgerCounts,
    Newest,
    AcceptTime,
    // The workbench.
    Create,
    Answer,
    Finalize,
    Claim,
    Advance,
    Park,
    Settle,
    Sweep,
    FreeLeases,
    Read,
    Absent,
    Unreadable,
    Alike,
    Delivered,
    Acknowledge,
    List,
    Oldest,
    OrdersOf,
    Counts,
    IssueNonce,
    UseNonce,
    // The audit log.
    Reserve,
    AppendPrecertificate,
    AppendCertificate,
    AppendOther,
    Lines,
    // The signer.
    SignPrecertificate,
    SignCertificate,
    SignCrl,
    SignOcspAnswer,
    SignOcspResponder,
    // CT.
    Submit,
}

/// On which side of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Nothing was done yet.
    Before,
    /// It is done, and nobody was told.
    After,
}

/// The call that a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Next(Call),
    Number(u64),
}

#[derive(Debug)]
enum Does {
    Hold { reached: oneshot::Sender<()>, released: oneshot::Receiver<()> },
    Fail,
    Panic,
}

#[derive(Debug)]
struct Plan {
    which: Which,
    side: Side,
    does: Does,
}

#[derive(Debug, Default)]
struct State {
    calls: u64,
    plans: Vec<Plan>,
}

/// What is to happen at which call. Each plan is carried out once.
#[derive(Debug, Default)]
pub(crate) struct Points(Mutex<State>);

/// A worker that is, or will be, held. Dropped, it lets go.
#[derive(Debug)]
pub(crate) struct Held {
    reached: oneshot::Receiver<()>,
    release: oneshot::Sender<()>,
}

impl Held {
    /// What is to be held, and what holds it.
    pub(crate) fn new() -> (Self, oneshot::Sender<()>, oneshot::Receiver<()>) {
        let (reached_by, reached) = oneshot::channel();
        let (release, released) = oneshot::channel();
        (Self { reached, release }, reached_by, released)
    }

    /// Waits until the worker stands at the point.
    pub(crate) async fn reached(&mut self) {
        (&mut self.reached).await.expect("the plan is carried out before it is dropped");
    }

    /// Lets it go.
    pub(crate) fn release(self) {
        // A worker that was killed meanwhile goes nowhere.
        let _gone = self.release.send(());
    }
}

impl Points {
    fn plan(&self, which: Which, side: Side, does: Does) {
        self.0.lock().unwrap().plans.push(Plan { which, side, does });
    }

    fn hold_which(&self, which: Which, side: Side) -> Held {
        let (held, reached, released) = Held::new();
        self.plan(which, side, Does::Hold { reached, released });
        held
    }

    /// Holds whoever makes this call next.
    pub(crate) fn hold(&self, side: Side, call: Call) -> Held {
        self.hold_which(Which::Next(call), side)
    }

    /// Holds whoever makes the call that comes after so many others.
    pub(crate) fn hold_after(&self, others: u64, side: Side) -> Held {
        self.hold_which(Which::Number(self.calls() + others), side)
    }

    /// The next such call fails.
    pub(crate) fn fail(&self, side: Side, call: Call) {
        self.plan(Which::Next(call), side, Does::Fail);
    }

    /// The next such call panics.
    pub(crate) fn panic(&self, side: Side, call: Call) {
        self.plan(Which::Next(call), side, Does::Panic);
    }

    /// The call that comes after so many others fails.
    pub(crate) fn fail_after(&self, others: u64, side: Side) {
        self.plan(Which::Number(self.calls() + others), side, Does::Fail);
    }

    /// How many calls were made.
    pub(crate) fn calls(&self) -> u64 {
        self.0.lock().unwrap().calls
    }

    /// Forgets what was planned and didn't come to pass; how many plans that were.
    pub(crate) fn forget(&self) -> usize {
        std::mem::take(&mut self.0.lock().unwrap().plans).len()
    }

    fn take(&self, call: Call, number: u64, side: Side) -> Option<Does> {
        let plans = &mut self.0.lock().unwrap().plans;
        let matches =
            |plan: &Plan| plan.side == side && (plan.which == Which::Next(call) || plan.which == Which::Number(number));
        let at = plans.iter().position(matches)?;
        Some(plans.remove(at).does)
    }

    /// Whether the call fails on this side. Holds it, if that was planned.
    async fn pass(&self, call: Call, number: u64, side: Side) -> bool {
        match self.take(call, number, side) {
            None => false,
            Some(Does::Fail) => true,
            Some(Does::Panic) => panic!("planned: the port panics"),
            Some(Does::Hold { reached, released }) => {
                // A case that doesn't watch needn't be told.
                let _unwatched = reached.send(());
                let _released = released.await;
                false
            }
        }
    }

    /// Makes a call, with what was planned for it.
    pub(crate) async fn around<T, E: Planned>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let (answer, fails) = self.begin(call, work).await?;
        if fails { Err(E::unknown()) } else { answer }
    }

    /// The same for a call whose outcome is never unknown: to fail after it was done is planned in vain.
    pub(crate) async fn around_certain<T, E: Planned>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        self.begin(call, work).await?.0
    }

    async fn begin<T, E: Planned>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<(Result<T, E>, bool), E> {
        let number = {
            let mut state = self.0.lock().unwrap();
            state.calls += 1;
            state.calls - 1
        };
        if self.pass(call, number, Side::Before).await {
            return Err(E::not_done());
        }
        let answer = work.await;
        Ok((answer, self.pass(call, number, Side::After).await))
    }
}

/// Errors that can be planned.
pub(crate) trait Planned {
    /// Nothing was done.
    fn not_done() -> Self;

    /// It was done, and nobody knows.
    fn unknown() -> Self;
}

impl Planned for StoreError {
    fn not_done() -> Self {
        Self::new(StoreErrorKind::Unavailable, "planned: nothing was done")
    }

    fn unknown() -> Self {
        Self::new(StoreErrorKind::Unknown, "planned: the outcome is unknown")
    }
}

impl Planned for SignError {
    fn not_done() -> Self {
        Self::NotSigned("planned: the key was not asked".to_owned())
    }

    fn unknown() -> Self {
        Self::Unknown("planned: no answer came".to_owned())
    }
}

impl Planned for CtError {
    fn not_done() -> Self {
        Self { detail: "planned: no log was asked".to_owned() }
    }

    fn unknown() -> Self {
        Self { detail: "planned: no answer came".to_owned() }
    }
}
