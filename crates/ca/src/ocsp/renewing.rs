//! Answers are signed anew before they end and before they are asked for again.

use std::time::Duration;

use pki::Timestamp;

use super::{NotSigned, Question, cache, lock};
use crate::authority::Ca;
use crate::error::Answer;

/// So many are signed in one go at most, one after the other: most places are left to who asks.
const RENEWED_TOGETHER_MAX: usize = 64;
/// So long one that could not be signed leaves the turn to others.
const FAILED_PAUSE: Duration = Duration::from_secs(60);
/// After so many in a row it is not the answers that are wrong: each may take a time-out, and the stop waits for this.
const FAILURES_MAX: u32 = 3;

impl Ca {
    /// Signs those answers anew whose renewal has come and that were asked for since they were signed, some in each go:
    /// how many. What nobody asks for lapses. The ledger is read for each, as for a request.
    ///
    /// # Errors
    /// The first that could not be signed, for another reason than that it is too early or that too many others are: it
    /// is tried again a minute later, and given as it is until it ends. Those behind it are signed all the same, unless
    /// several fail in a row.
    pub async fn renew_ocsp_answers(&self) -> Answer<usize> {
        let due = lock(&self.ocsp.cache).take_due(self.now(), RENEWED_TOGETHER_MAX);
        let (mut signed, mut failed, mut in_a_row) = (0, None, 0);
        let mut left = due.into_iter();
        while let Some(key) = left.next() {
            let (issuer, form, serial) = key;
            let identity = self.ocsp.identities.iter().find(|(id, _)| *id == issuer).map(|(_, identity)| identity);
            let (Some(issuer), Some(identity)) = (self.issuer_by_id(&issuer), identity) else { continue };
            let cert_id = identity.cert_id(form, serial);
            let question = Question { issuer, form, serial, cert_id: &cert_id, nonce: None };
            let renewed = match self.recorded(&question).await {
                // It is not answered for any more, or the clock is wrong: who asks next is told.
                Ok(Err(_)) => continue,
                Ok(Ok(recorded)) => self.sign_answer(&question, recorded).await,
                Err(error) => Err(error.into()),
            };
            match renewed {
                Ok(answer) => {
                    lock(&self.ocsp.cache).renew(key, &answer);
                    signed += 1;
                    in_a_row = 0;
                }
                // It has become another status: who asks next reads which.
                Err(NotSigned::Changed(_)) => {}
                Err(NotSigned::Failed(error)) => {
                    lock(&self.ocsp.cache).put_off(key, self.now().plus(FAILED_PAUSE));
                    failed.get_or_insert(error);
                    in_a_row += 1;
                    if in_a_row == FAILURES_MAX {
                        self.put_off(left);
                        break;
                    }
                }
                Err(NotSigned::Busy | NotSigned::Doubted | NotSigned::Unprepared) => {
                    self.put_off(std::iter::once(key).chain(left));
                    break;
                }
            }
        }
        failed.map_or(Ok(signed), |error| Err(NotSigned::Failed(error).into()))
    }

    /// Each to its place among those that are due.
    fn put_off(&self, questions: impl Iterator<Item = cache::Question>) {
        let mut cache = lock(&self.ocsp.cache);
        questions.for_each(|question| cache.put_off(question, Timestamp::from_seconds(0)));
    }
}
