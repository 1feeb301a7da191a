//! What a server does beside its doors, again and again: workers take what is queued, sweeps mend what was left, CRLs,
//! tree heads and the audit log's mark are looked after. Over ports alone: they run wherever they are polled.

use std::sync::Arc;
use std::time::Duration;

use ca::Ca;
use ca::order::Stage;
use ca::ports::AuditMark;
use ct::BuiltinLog;
use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::watch;

/// How often the audit log's mark is kept, CRLs are looked after and tree heads are made, in a server.
pub const UPKEEP: Duration = Duration::from_secs(1);

/// Whether the server is to stop.
pub type Stop = watch::Receiver<bool>;

/// Ends when the server is to stop, or when nobody is left to say so.
pub async fn stopping(mut stop: Stop) {
    let _sender_gone = stop.wait_for(|stopped| *stopped).await;
}

/// All of it, each with a name for people: to be begun once the CA has recovered. Each ends when it is told to stop;
/// workers finish what they hold. What isn't queued is looked after every so often.
pub fn tasks(
    ca: &Arc<Ca>,
    logs: &[Arc<BuiltinLog>],
    every: Duration,
    stop: &Stop,
) -> Vec<(&'static str, BoxFuture<'static, ()>)> {
    let limits = ca.settings.limits;
    let mut tasks = Vec::new();
    for (stage, workers) in
        [(Stage::MakeChallenge, 1), (Stage::TestChallenge, limits.test_workers), (Stage::Issue, limits.issue_workers)]
    {
        for _ in 0..workers {
            let (ca, stop) = (Arc::clone(ca), stop.clone());
            tasks.push((stage.name(), async move { ca.run_worker(stage, stopping(stop)).await }.boxed()));
        }
    }
    tasks.push(("sweep", sweep(Arc::clone(ca), stop.clone()).boxed()));
    tasks.push(("blocked keys", revoke_blocked(Arc::clone(ca), stop.clone()).boxed()));
    tasks.push(("CRLs", keep_crls(Arc::clone(ca), every, stop.clone()).boxed()));
    tasks.push(("OCSP responders", keep_responders(Arc::clone(ca), every, stop.clone()).boxed()));
    tasks.push(("upkeep", look_after(Arc::clone(ca), logs.to_vec(), every, stop.clone()).boxed()));
    tasks
}

/// Ends early, with `true`, when the server stops.
pub(crate) async fn pause(ca: &Ca, time: Duration, stop: &Stop) -> bool {
    tokio::select! {
        biased;
        () = stopping(stop.clone()) => true,
        () = ca.clock.sleep(time) => false,
    }
}

/// The first sweep is at once: it is the recovery of the workbench.
async fn sweep(ca: Arc<Ca>, stop: Stop) {
    loop {
        match ca.sweep().await {
            Ok(swept) if swept != ca::Swept::default() => {
                let ca::Swept { requeued, died, retired } = swept;
                tracing::info!(requeued, died, retired, "swept");
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "the sweep failed; the next one goes on"),
        }
        if pause(&ca, ca.settings.times.sweep, &stop).await {
            return;
        }
    }
}

/// At once when a key is blocked; what that left undone, since a store was away or the process ended, at the start and
/// as often as sweeps.
async fn revoke_blocked(ca: Arc<Ca>, stop: Stop) {
    loop {
        match ca.revoke_blocked_keys(&|| *stop.borrow()).await {
            Ok(done) if done != ca::KeysRevoked::default() => {
                let ca::KeysRevoked { serials, keys } = done;
                tracing::info!(serials, keys, "what was issued for blocked keys is revoked");
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "blocked keys: not all is revoked; the next run goes on"),
        }
        tokio::select! {
            biased;
            () = stopping(stop.clone()) => return,
            () = ca.blocked.heard() => {}
            () = ca.clock.sleep(ca.settings.times.sweep) => {}
        }
    }
}

/// After CRLs that took long to make, others are made so much later at the latest: a revocation must not wait for as
/// long as a store was away, or the process was held.
const CRL_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Large CRLs take their time, and nothing else waits for them. About half of the time is theirs, so that what is
/// revoked meanwhile is gathered.
async fn keep_crls(ca: Arc<Ca>, every: Duration, stop: Stop) {
    loop {
        let begun = ca.clock.monotonic();
        if let Some(Err(error)) = ca::guarded("the CRLs", ca.renew_crls()).await {
            tracing::error!(%error, "a CRL could not be made, and the last one stays; trying again");
        }
        let taken = ca.clock.monotonic().saturating_sub(begun);
        if pause(&ca, every.max(taken.min(CRL_PAUSE_MAX)), &stop).await {
            return;
        }
    }
}

/// At once when a request waits for a certificate. It is no request that makes one: who asks may hang up. Then answers
/// that end are signed anew.
async fn keep_responders(ca: Arc<Ca>, every: Duration, stop: Stop) {
    loop {
        if let Some(Err(error)) = ca::guarded("OCSP responders", ca.renew_responders()).await {
            tracing::debug!(%error, "the OCSP responder's certificate was not renewed; trying again");
        }
        if let Some(Err(error)) = ca::guarded("OCSP answers", ca.renew_ocsp_answers()).await {
            tracing::debug!(%error, "an OCSP answer was not signed anew before it was asked for; trying again");
        }
        tokio::select! {
            biased;
            () = stopping(stop.clone()) => return,
            () = ca.responder_is_missing() => {}
            () = ca.clock.sleep(every) => {}
        }
    }
}

async fn look_after(ca: Arc<Ca>, logs: Vec<Arc<BuiltinLog>>, every: Duration, stop: Stop) {
    let mut kept = None;
    loop {
        for log in &logs {
            if let Some(Err(error)) = ca::guarded("a tree head", log.update_tree_head()).await {
                tracing::error!(%error, "a tree head could not be made; trying again");
            }
        }
        let _panicked = ca::guarded("the audit log's mark", keep_mark(&ca, &mut kept)).await;
        if pause(&ca, every, &stop).await {
            return;
        }
    }
}

/// Keeps how far the audit log is in the ledger, if it has come further.
async fn keep_mark(ca: &Ca, kept: &mut Option<AuditMark>) {
    let mark = ca.audit.mark();
    if *kept == Some(mark) {
        return;
    }
    match ca.keep_audit_mark().await {
        Ok(()) => *kept = Some(mark),
        Err(error) => tracing::warn!(%error, "the audit log's mark was not kept"),
    }
}
