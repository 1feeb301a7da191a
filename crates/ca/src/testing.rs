//! Tests of challenges: what is asked of the world, and what follows from its answer. (What the stage `TestChallenge`
//! does with one challenge; the stage itself is in `pipeline`.)

use acme::{KeyAuthorization, Problem, ProblemType};
use futures_util::future::{Either, FutureExt, join_all, select};
use pki::Timestamp;

use crate::authority::Ca;
use crate::authorization::{
    Authorization, AuthorizationEnd, CaaDecision, CaaRecord, Challenge, ChallengeState, EndedAuthorization, Method,
    ValidationRecord,
};
use crate::order::{Order, Tested, Verdict, is_due};
use crate::ports::{CaaCheck, ChallengeTest, StoreError, StoreErrorKind, Stored, Validated};
use crate::settings::CaaMode;
use crate::urls;

/// What was seen in one test.
struct Seen {
    validated: Validated,
    validation: ValidationRecord,
    caa: Option<CaaRecord>,
}

impl Ca {
    /// Tests the answered challenges of one authorization, side by side; the first that shows control ends it, or else
    /// the first that failed for good. All that are due at the time given are tested.
    pub(crate) async fn test(
        &self,
        order: &Order,
        authorization: &Authorization,
        given: Timestamp,
    ) -> Vec<Stored<Tested>> {
        let due = authorization.challenges.iter().filter_map(|challenge| match challenge.state {
            ChallengeState::Answered { at, tries, due, .. } if is_due(due, given) => Some((challenge, at, tries)),
            ChallengeState::Answered { .. }
            | ChallengeState::Pending
            | ChallengeState::Valid { .. }
            | ChallengeState::Invalid { .. } => None,
        });
        let mut looks = join_all(due.map(|(challenge, at, tries)| async move {
            (challenge, at, tries, self.look(order, authorization, challenge).await)
        }))
        .await;
        looks.sort_by_key(|(.., seen)| match seen {
            Ok(Seen { validated: Validated::Shown, .. }) => 0,
            Ok(Seen { validated: Validated::Failed(_), .. }) => 1,
            Ok(Seen { validated: Validated::MayPass(_), .. }) | Err(_) => 2,
        });
        let mut tested = Vec::new();
        for (challenge, answered, tries, seen) in looks {
            let (id, method) = (authorization.id, challenge.method);
            let verdict = match seen {
                Ok(seen) => self.decide(order, authorization, challenge, (seen, tries)).await,
                Err(error) => Err(error),
            };
            let result = verdict.map(|verdict| Tested { authorization: id, method, answered, verdict });
            let ended = matches!(&result, Ok(Tested { verdict: Verdict::Ended(_), .. }));
            tested.push(result);
            if ended {
                break;
            }
        }
        tested
    }

    async fn decide(
        &self,
        order: &Order,
        authorization: &Authorization,
        challenge: &Challenge,
        (seen, tries): (Seen, u8),
    ) -> Stored<Verdict> {
        let Seen { validated, mut validation, caa } = seen;
        let (end, problem) = match self.judge(validated, caa.as_ref()) {
            Validated::Shown => {
                let expires = self.now().plus(self.settings.times.authorization_lifetime);
                (AuthorizationEnd::Valid { expires }, None)
            }
            Validated::MayPass(problem) if tries + 1 < self.settings.limits.tries => {
                let pause = self.back_off(u32::from(tries) + 1);
                tracing::info!(order = %order.id, identifier = %authorization.identifier, method = %challenge.method,
                    problem = %problem.detail, "the challenge will be tested again");
                return Ok(Verdict::Again { pause, problem });
            }
            Validated::MayPass(problem) | Validated::Failed(problem) => (AuthorizationEnd::Invalid, Some(problem)),
        };
        tracing::info!(order = %order.id, identifier = %authorization.identifier, method = %challenge.method,
            valid = problem.is_none(), problem = problem.as_ref().map(|one| one.detail.as_str()), "challenge tested");
        validation.problem.clone_from(&problem);
        let ended = self.now();
        let challenges = ended_challenges(authorization, challenge.method, problem, ended);
        let stands = self
            .ledger
            .authorize(EndedAuthorization {
                id: authorization.id,
                account: order.account,
                identifier: authorization.identifier.clone(),
                end,
                ended,
                challenges,
                validation: Some(validation),
                caa,
            })
            .await?;
        Ok(Verdict::Ended(Box::new(stands)))
    }

    async fn look(&self, order: &Order, authorization: &Authorization, challenge: &Challenge) -> Stored<Seen> {
        if challenge.method == Method::Operator {
            return Ok(self.operator_says_so(authorization));
        }
        let account = self.ledger.account(order.account).await?.ok_or_else(|| {
            StoreError::new(StoreErrorKind::Corrupt, format!("account {} is not in the ledger", order.account))
        })?;
        let test = self.validator.validate(ChallengeTest {
            identifier: authorization.identifier.clone(),
            method: challenge.method,
            token: challenge.token.clone(),
            key_authorization: KeyAuthorization::new(&challenge.token, &account.thumbprint()),
            time_limit: self.settings.times.validation,
        });
        let caa = self.validator.check_caa(CaaCheck {
            identifier: authorization.identifier.clone(),
            method: challenge.method,
            account_url: self.settings.base_url.as_ref().map(|base| format!("{base}{}", urls::account(order.account))),
            time_limit: self.settings.times.caa,
        });
        let ((validated, validation), caa) = match self.settings.caa {
            CaaMode::Off => (test.await, None),
            CaaMode::Enforce => {
                let (seen, caa) = futures_util::join!(test, caa);
                (seen, Some(caa))
            }
            // Never in the way: what has not come when the test ends is not waited for.
            CaaMode::Log => match select(test, caa).await {
                Either::Left((seen, caa)) => (seen, caa.now_or_never()),
                Either::Right((caa, test)) => (test.await, Some(caa)),
            },
        };
        let caa = match self.settings.caa {
            CaaMode::Off => None,
            CaaMode::Enforce | CaaMode::Log => Some(caa.unwrap_or_else(|| unfinished(authorization, self.now()))),
        };
        Ok(Seen { validated, validation, caa })
    }

    /// The built-in account's names are those of this CA's own servers: the operator's configuration is the proof.
    fn operator_says_so(&self, authorization: &Authorization) -> Seen {
        let now = self.now();
        let evidence = vec!["a name of this CA's own server, by its operator's configuration".to_owned()];
        Seen {
            validated: Validated::Shown,
            validation: ValidationRecord {
                method: Method::Operator,
                began: now,
                ended: now,
                evidence: evidence.clone(),
                problem: None,
            },
            caa: Some(CaaRecord {
                identifier: authorization.identifier.clone(),
                checked: now,
                ttl_seconds: 0,
                decision: CaaDecision::NotApplicable,
                evidence,
            }),
        }
    }

    /// What CAA says counts where it is enforced.
    fn judge(&self, validated: Validated, caa: Option<&CaaRecord>) -> Validated {
        let (Validated::Shown, Some(caa)) = (&validated, caa) else { return validated };
        match (&caa.decision, self.settings.caa) {
            (CaaDecision::Forbidden { problem }, CaaMode::Enforce) => Validated::Failed(problem.clone()),
            (CaaDecision::Failed { problem }, CaaMode::Enforce) => Validated::MayPass(problem.clone()),
            (CaaDecision::Forbidden { problem } | CaaDecision::Failed { problem }, CaaMode::Log | CaaMode::Off) => {
                tracing::warn!(identifier = %caa.identifier, problem = %problem.detail,
                    "CAA would not permit a certificate; it is not enforced here");
                validated
            }
            (CaaDecision::Permitted | CaaDecision::NotApplicable, _) => validated,
        }
    }
}

fn unfinished(authorization: &Authorization, now: Timestamp) -> CaaRecord {
    CaaRecord {
        identifier: authorization.identifier.clone(),
        checked: now,
        ttl_seconds: 0,
        decision: CaaDecision::Failed {
            problem: Problem::new(ProblemType::Dns, "the CAA look-up had not ended when the challenge was tested"),
        },
        evidence: vec!["not waited for: CAA is not enforced here".to_owned()],
    }
}

/// The challenges of an ended authorization: the one that decided says how, the others stay as they were.
fn ended_challenges(
    authorization: &Authorization,
    decided: Method,
    problem: Option<Problem>,
    at: Timestamp,
) -> Vec<Challenge> {
    let mut challenges = authorization.challenges.clone();
    for challenge in challenges.iter_mut().filter(|one| one.method == decided) {
        challenge.state = match &problem {
            Some(problem) => ChallengeState::Invalid { at, problem: problem.clone() },
            None => ChallengeState::Valid { at },
        };
    }
    challenges
}
