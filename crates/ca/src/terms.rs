//! Agreement to the terms of service, and to each later version of them (RFC 8555 §7.3.3).

use acme::{Problem, ProblemType};

use crate::account::Account;
use crate::authority::Ca;
use crate::error::Answer;
use crate::settings::Terms;

impl Ca {
    /// Whether an account may ask for what needs its agreement to the terms as they now are.
    ///
    /// # Errors
    /// `userActionRequired`; whoever answers adds where the terms are, and a page for people.
    pub fn require_agreement(&self, account: &Account) -> Answer<()> {
        let Some(terms) = &self.settings.terms else { return Ok(()) };
        let enforced = terms.enforced_from.is_none_or(|from| self.now() >= from);
        if !enforced || has_agreed(terms, account) {
            return Ok(());
        }
        Err(asks_for_agreement(terms).into())
    }

    /// A new account agrees to the terms when it is made, if there are any.
    pub(crate) fn require_agreement_of_new(&self, agreed: bool) -> Answer<()> {
        match &self.settings.terms {
            Some(terms) if !agreed => Err(asks_for_agreement(terms).into()),
            Some(_) | None => Ok(()),
        }
    }

    /// The version that a client agrees to who agrees now.
    pub(crate) fn terms_version(&self) -> Option<String> {
        self.settings.terms.as_ref().and_then(|terms| terms.version.clone())
    }

    /// The client agrees to the terms as they now are. The account as it then is.
    pub(crate) async fn agree(&self, account: Account) -> Answer<Account> {
        let version = self.terms_version();
        if account.terms_of_service_agreed && (account.terms_version == version || version.is_none()) {
            return Ok(account);
        }
        let agreed = self.ledger.agree_to_terms(account.id, version).await?;
        // An account that was deactivated in this moment is answered as it was read: its next request is refused.
        let Some(agreed) = agreed else { return Ok(account) };
        tracing::info!(account = %agreed.id, version = agreed.terms_version, "terms of service agreed to");
        Ok(agreed)
    }
}

/// Without a version nobody is asked twice, nor are those who came before there were terms.
fn has_agreed(terms: &Terms, account: &Account) -> bool {
    let Some(version) = &terms.version else { return true };
    let agreed_to = account.terms_version.as_ref().or(terms.first_version.as_ref());
    account.terms_of_service_agreed && agreed_to == Some(version)
}

fn asks_for_agreement(terms: &Terms) -> Problem {
    let version = terms.version.as_ref().map(|version| format!(" (version {version})")).unwrap_or_default();
    Problem::new(
        ProblemType::UserActionRequired,
        format!(
            "agree to the terms of service at {}{version}: send termsOfServiceAgreed: true to newAccount or to the \
             account's URL",
            terms.url
        ),
    )
}
