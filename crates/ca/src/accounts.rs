//! What clients ask for about accounts (RFC 8555 §7.3).

use acme::{AccountStatus, AccountUpdate, Contact, Jwk, KeyChange, KeyReference, NewAccount, ProblemType, Verified};
use pki::PublicKey;

use crate::account::Account;
use crate::authority::Ca;
use crate::error::{Answer, Error};
use crate::external_account::refused_binding;
use crate::order::{Failure, Outcome, Stage};
use crate::ports::{KeyChangeRecord, KeyNotChanged, NewAccountRecord, Stored};
use crate::{AccountId, OrderCursor};

/// Whose account is made.
#[derive(Clone, Copy)]
enum Who {
    Client,
    Operator,
}

/// What became of a key change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChanged {
    /// The account as it now is.
    Done(Account),
    /// This account has the new key (RFC 8555 §7.3.5: a conflict); nothing has changed.
    Taken(AccountId),
}

impl Ca {
    /// newAccount: the account of the key that signed the request, and whether it was made now.
    ///
    /// # Errors
    /// `accountDoesNotExist` with `onlyReturnExisting`, `userActionRequired` without agreement to the terms,
    /// `invalidContact`, `unsupportedContact`, `badPublicKey`, `unauthorized` for a deactivated account or a key for
    /// external account binding that is no good, `externalAccountRequired` without one where accounts need it.
    pub async fn new_account(&self, request: Verified) -> Answer<(Account, bool)> {
        self.open_account(request, Who::Client).await
    }

    /// The account of this CA itself, which needs neither agreement nor binding.
    ///
    /// # Errors
    /// As [`Ca::new_account`].
    pub async fn operator_account(&self, request: Verified) -> Answer<Account> {
        Ok(self.open_account(request, Who::Operator).await?.0)
    }

    async fn open_account(&self, request: Verified, who: Who) -> Answer<(Account, bool)> {
        let KeyReference::Jwk(key) = request.protected().key.clone() else {
            return Err(Error::refused(ProblemType::Malformed, "newAccount is signed with `jwk` (RFC 8555 §6.2)"));
        };
        let asked: NewAccount = request.json().map_err(|error| error.problem())?;
        if let Some(account) = self.ledger.account_by_key(key.thumbprint()).await? {
            let account = still_valid(account)?;
            let account = if asked.terms_of_service_agreed { self.agree(account).await? } else { account };
            return Ok((account, false));
        }
        if asked.only_return_existing {
            return Err(Error::refused(ProblemType::AccountDoesNotExist, "no account has this key"));
        }
        let external_key = match who {
            Who::Client => {
                self.require_agreement_of_new(asked.terms_of_service_agreed)?;
                self.check_binding(&asked, &request).await?
            }
            Who::Operator => None,
        };
        let contact = self.contacts(&asked.contacts()?)?;
        self.check_account_key(&key).await?;
        let record = NewAccountRecord {
            id: AccountId::random(&*self.random),
            key,
            contact,
            terms_of_service_agreed: asked.terms_of_service_agreed,
            terms_version: self.terms_version().filter(|_| asked.terms_of_service_agreed),
            created: self.now(),
            jws: request.evidence(),
        };
        let (account, new) = match external_key {
            None => self.ledger.create_account(record).await?,
            Some(kid) => self.ledger.create_bound_account(record, &kid).await?.map_err(refused_binding)?,
        };
        if new {
            tracing::info!(account = %account.id, key = %account.key.description(), "account made");
        }
        still_valid(account).map(|account| (account, new))
    }

    /// An account's key must be as strong as a certificate's, and not blocked.
    async fn check_account_key(&self, key: &Jwk) -> Answer<()> {
        let bad = |detail: String| Error::refused(ProblemType::BadPublicKey, detail);
        let public_key = PublicKey::from_spki_der(&key.spki_der()).map_err(|error| bad(error.to_string()))?;
        if !matches!(public_key.kind(), pki::KeyKind::Ed25519) {
            public_key.check_strength().map_err(|weak| bad(weak.to_string()))?;
        }
        if self.ledger.is_blocked(public_key.spki_hash()).await? {
            return Err(blocked());
        }
        Ok(())
    }

    /// The account of this name, whoever asks; its status is not looked at.
    ///
    /// # Errors
    /// The ledger could not be asked.
    pub async fn account(&self, id: AccountId) -> Answer<Option<Account>> {
        Ok(self.ledger.account(id).await?)
    }

    /// keyChange (RFC 8555 §7.3.5): from now on the account has the key that signed the inner JWS, and no other.
    ///
    /// # Errors
    /// `malformed` for what is wrong with the inner JWS, `badPublicKey` for the new key, `unauthorized` if the account
    /// ended or its key was changed meanwhile; `Failed` with a clock that is behind.
    pub async fn change_key(&self, account: &Account, request: Verified) -> Answer<KeyChanged> {
        let to = KeyChange::new_key(&request, &account.key).map_err(|error| error.problem())?;
        self.check_account_key(&to).await?;
        // Which requests the old key has signed in time follows from when it was replaced.
        self.require_clock().await?;
        let max = self.settings.limits.key_changes;
        if account.proofs.len() > max {
            return Err(Error::refused(
                ProblemType::Malformed,
                format!("the key of this account was changed {max} times, the most there may be; make a new account"),
            ));
        }
        let change = KeyChangeRecord { account: account.id, from: account.thumbprint(), to, jws: request.evidence() };
        match self.ledger.change_key(change).await? {
            Ok(account) => {
                tracing::info!(account = %account.id, key = %account.key.description(), "key of the account changed");
                Ok(KeyChanged::Done(account))
            }
            Err(KeyNotChanged::Taken(other)) => Ok(KeyChanged::Taken(other)),
            Err(KeyNotChanged::Blocked) => Err(blocked()),
            Err(KeyNotChanged::NotValid) => Err(not_valid(AccountStatus::Deactivated)),
            Err(changed @ KeyNotChanged::Changed) => {
                Err(Error::refused(ProblemType::Unauthorized, format!("{changed}; sign with the new one")))
            }
        }
    }

    /// An update of an account (RFC 8555 §7.3.2, §7.3.3, §7.3.6): new contacts, agreement to the terms, or its
    /// deactivation.
    ///
    /// # Errors
    /// `invalidContact`, `unsupportedContact`, `malformed` for another status, `unauthorized` if it was deactivated.
    pub async fn update_account(&self, account: &Account, update: &AccountUpdate) -> Answer<Account> {
        if update.deactivates()? {
            let gone = self.ledger.deactivate_account(account.id).await?;
            tracing::info!(account = %account.id, "account deactivated");
            if let Err(error) = self.cancel_orders(account.id, "was deactivated").await {
                // They die at their deadline, and nobody can go on with them until then.
                tracing::error!(account = %account.id, %error, "orders of a deactivated account were not cancelled");
            }
            return gone.ok_or_else(|| not_valid(AccountStatus::Deactivated));
        }
        let contact = update.contacts()?.map(|contacts| self.contacts(&contacts)).transpose()?;
        let account = account.clone();
        let account = if update.terms_of_service_agreed { self.agree(account).await? } else { account };
        let Some(contact) = contact else { return Ok(account) };
        let updated = self.ledger.update_contact(account.id, contact).await?;
        updated.ok_or_else(|| not_valid(AccountStatus::Deactivated))
    }
}

impl Ca {
    /// The contacts as they are kept.
    fn contacts(&self, contacts: &[Contact]) -> Answer<Vec<String>> {
        let max = self.settings.limits.contacts;
        if contacts.len() > max {
            let detail = format!("there are {} contacts; at most {max} are kept", contacts.len());
            return Err(Error::refused(ProblemType::InvalidContact, detail));
        }
        Ok(contacts.iter().map(|contact| contact.as_str().to_owned()).collect())
    }

    /// Orders that wait for their client end with its account (RFC 8555 §7.3.6). Those in `Issue` are the ledger's:
    /// it begins no issuance for an account that has ended.
    pub(crate) async fn cancel_orders(&self, account: AccountId, how: &str) -> Stored<()> {
        let mut behind: Option<OrderCursor> = None;
        loop {
            let page = self.workbench.orders_of(account, behind, self.settings.limits.sweep_page).await?;
            let Some(last) = page.last() else { return Ok(()) };
            behind = Some(OrderCursor::from(last));
            for order in &page {
                let stage = order.stage();
                let open = matches!(stage, Stage::MakeChallenge | Stage::TestChallenge);
                if open && !self.ledger_knew_better(order.id).await? {
                    let detail = format!("the account of this order {how} (stage {stage})");
                    let problem = acme::Problem::new(ProblemType::Unauthorized, detail);
                    let outcome = Outcome::Invalid(Failure { stage, problem });
                    self.workbench.settle(order.id, &[], Some((outcome, self.now()))).await?;
                    tracing::info!(order = %order.id, %stage, "cancelled with its account");
                }
            }
        }
    }
}

/// The account, if it may still ask for anything (RFC 8555 §7.3.6).
///
/// # Errors
/// `unauthorized`.
pub fn still_valid(account: Account) -> Answer<Account> {
    if account.is_valid() { Ok(account) } else { Err(not_valid(account.status)) }
}

fn blocked() -> Error {
    let detail = "this key is blocked, since it is known to be compromised; use a new one";
    Error::refused(ProblemType::BadPublicKey, detail)
}

fn not_valid(status: AccountStatus) -> Error {
    let what = match status {
        AccountStatus::Deactivated => "was deactivated by its owner",
        AccountStatus::Revoked => "was revoked",
        AccountStatus::Valid => "is not valid",
    };
    let problem = acme::Problem::new(
        ProblemType::Unauthorized,
        format!("the account of this key {what}; make a new account with a new key"),
    );
    problem.with_status(401).into()
}
