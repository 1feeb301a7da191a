//! What clients ask for about accounts (RFC 8555 §7.3).

use acme::{AccountStatus, AccountUpdate, Jwk, KeyChange, KeyReference, NewAccount, ProblemType, Verified};
use pki::PublicKey;

use crate::AccountId;
use crate::account::Account;
use crate::authority::Ca;
use crate::error::{Answer, Error};
use crate::ports::{KeyChangeRecord, KeyNotChanged, NewAccountRecord};

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
    /// `invalidContact`, `unsupportedContact`, `badPublicKey`, `unauthorized` for a deactivated account.
    pub async fn new_account(&self, request: Verified) -> Answer<(Account, bool)> {
        let KeyReference::Jwk(key) = request.protected().key.clone() else {
            return Err(Error::refused(ProblemType::Malformed, "newAccount is signed with `jwk` (RFC 8555 §6.2)"));
        };
        let asked: NewAccount = request.json().map_err(|error| error.problem())?;
        if let Some(account) = self.ledger.account_by_key(key.thumbprint()).await? {
            return still_valid(account).map(|account| (account, false));
        }
        if asked.only_return_existing {
            return Err(Error::refused(ProblemType::AccountDoesNotExist, "no account has this key"));
        }
        if asked.external_account_binding.is_some() {
            return Err(Error::refused(
                ProblemType::Malformed,
                "this CA offers no external account binding; leave externalAccountBinding out",
            ));
        }
        self.require_agreement(&asked)?;
        let contact = asked.contacts()?.iter().map(|contact| contact.as_str().to_owned()).collect();
        self.check_account_key(&key).await?;
        let record = NewAccountRecord {
            id: AccountId::random(&*self.random),
            key,
            contact,
            terms_of_service_agreed: asked.terms_of_service_agreed,
            created: self.now(),
            jws: request.into_raw(),
        };
        let (account, new) = self.ledger.create_account(record).await?;
        if new {
            tracing::info!(account = %account.id, key = %account.key.description(), "account made");
        }
        still_valid(account).map(|account| (account, new))
    }

    fn require_agreement(&self, asked: &NewAccount) -> Answer<()> {
        match &self.settings.terms_of_service {
            Some(terms) if !asked.terms_of_service_agreed => {
                let detail = format!("agree to the terms of service at {terms} with termsOfServiceAgreed");
                let problem = acme::Problem::new(ProblemType::UserActionRequired, detail);
                Err(problem.with_instance(terms.as_str()).into())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// An account's key must be as strong as a certificate's, and not blocked.
    async fn check_account_key(&self, key: &Jwk) -> Answer<()> {
        let bad = |detail: String| Error::refused(ProblemType::BadPublicKey, detail);
        let public_key = PublicKey::from_spki_der(&key.spki_der()).map_err(|error| bad(error.to_string()))?;
        if !matches!(public_key.kind(), pki::KeyKind::Ed25519) {
            public_key.check_strength().map_err(|weak| bad(weak.to_string()))?;
        }
        if self.ledger.is_blocked(public_key.spki_hash()).await? {
            return Err(bad("this key is blocked, since it is known to be compromised; use a new one".into()));
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
    /// ended or its key was changed meanwhile.
    pub async fn change_key(&self, account: &Account, request: Verified) -> Answer<KeyChanged> {
        let to = KeyChange::new_key(&request, &account.key).map_err(|error| error.problem())?;
        self.check_account_key(&to).await?;
        let max = self.settings.limits.key_changes;
        if account.proofs.len() > max {
            return Err(Error::refused(
                ProblemType::Malformed,
                format!("the key of this account was changed {max} times, the most there may be; make a new account"),
            ));
        }
        let change = KeyChangeRecord { account: account.id, from: account.thumbprint(), to, jws: request.into_raw() };
        match self.ledger.change_key(change).await? {
            Ok(account) => {
                tracing::info!(account = %account.id, key = %account.key.description(), "key of the account changed");
                Ok(KeyChanged::Done(account))
            }
            Err(KeyNotChanged::Taken(other)) => Ok(KeyChanged::Taken(other)),
            Err(KeyNotChanged::NotValid) => Err(not_valid(AccountStatus::Deactivated)),
            Err(changed @ KeyNotChanged::Changed) => {
                Err(Error::refused(ProblemType::Unauthorized, format!("{changed}; sign with the new one")))
            }
        }
    }

    /// An update of an account (RFC 8555 §7.3.2, §7.3.6): new contacts, or its deactivation.
    ///
    /// # Errors
    /// `invalidContact`, `unsupportedContact`, `malformed` for another status, `unauthorized` if it was deactivated.
    pub async fn update_account(&self, account: &Account, update: &AccountUpdate) -> Answer<Account> {
        if update.deactivates()? {
            let gone = self.ledger.deactivate_account(account.id).await?;
            tracing::info!(account = %account.id, "account deactivated");
            return gone.ok_or_else(|| not_valid(AccountStatus::Deactivated));
        }
        let Some(contact) = update.contacts()? else { return Ok(account.clone()) };
        let contact = contact.iter().map(|one| one.as_str().to_owned()).collect();
        let updated = self.ledger.update_contact(account.id, contact).await?;
        updated.ok_or_else(|| not_valid(AccountStatus::Deactivated))
    }
}

/// The account, if it may still ask for anything (RFC 8555 §7.3.6).
///
/// # Errors
/// `unauthorized`.
pub fn still_valid(account: Account) -> Answer<Account> {
    if account.is_valid() { Ok(account) } else { Err(not_valid(account.status)) }
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
