//! RFC 8555 §7.3 to §7.3.3: accounts are made, found and changed.

use acme::Algorithm;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::account::signing_key;
use crate::support::case::{NotApplicable, Verdict, cases};
use crate::support::client::Client;
use crate::support::watch::Watch;

cases! {
    Must a_new_account_is_made_with_201_and_its_url,
    Must contacts_by_mail_are_taken,
    Must contacts_of_another_scheme_are_unsupported,
    Should contacts_that_are_no_good_addresses_are_invalid,
    Must contacts_of_the_wrong_kind_are_malformed,
    Must flags_of_the_wrong_kind_are_malformed,
    Must what_the_server_owns_is_ignored_in_a_new_account,
    Must members_that_nobody_knows_are_ignored,
    Must without_agreement_to_the_terms_no_account_is_made,
    Must a_known_key_finds_its_account_with_200,
    Must a_known_key_changes_nothing_at_its_account,
    Must simultaneous_requests_with_one_key_make_one_account,
    Must only_return_existing_finds_an_account,
    Must only_return_existing_makes_no_account,
    Must a_contact_can_be_changed,
    Must contacts_are_cleared_by_an_empty_list,
    Should contacts_are_kept_by_an_update_without_any,
    Must what_the_server_owns_is_ignored_in_an_update,
    Must a_refused_update_changes_nothing,
    Must an_account_is_read_by_post_as_get,
    Should an_account_is_read_by_an_empty_object,
}

/// What newAccount says to this, with a new key; and whether it made an account.
async fn ask(client: &mut Client, more: &Value) -> (crate::support::answer::Answer, bool) {
    let key = signing_key(Algorithm::Es256);
    let mut payload = client.new_account_payload(&key);
    for (member, value) in more.as_object().expect("an object") {
        payload[member] = value.clone();
    }
    let url = client.url("newAccount");
    let answer = client.post_by_key(&key, &url, &payload).await;
    let made = client.account_with(&key).await.is_some();
    (answer, made)
}

async fn a_new_account_is_made_with_201_and_its_url(mut client: Client) -> Verdict {
    let (answer, made) = ask(&mut client, &json!({})).await;
    assert_eq!(answer.object(201)["status"], "valid");
    assert!(answer.location().starts_with("https://"));
    assert!(made);
    Ok(())
}

async fn contacts_by_mail_are_taken(mut client: Client) -> Verdict {
    let contact = json!(["mailto:one@example.org", "mailto:two@example.org"]);
    let (answer, _) = ask(&mut client, &json!({ "contact": contact })).await;
    assert_eq!(answer.object(201)["contact"], contact);
    Ok(())
}

async fn contacts_of_another_scheme_are_unsupported(mut client: Client) -> Verdict {
    for contact in ["tel:+1-555-0100", "gopher:hole", "https://example.org/"] {
        let (answer, made) = ask(&mut client, &json!({ "contact": [contact] })).await;
        assert!(answer.status >= 400, "{contact}: {}", answer.shown());
        answer.refused(&[400], &["unsupportedContact"]);
        assert!(!made, "{contact}");
    }
    let both = json!({ "contact": ["mailto:one@example.org", "tel:+1-555-0100"] });
    let (answer, made) = ask(&mut client, &both).await;
    answer.refused(&[400], &["unsupportedContact"]);
    assert!(!made);
    Ok(())
}

async fn contacts_that_are_no_good_addresses_are_invalid(mut client: Client) -> Verdict {
    for contact in [
        "mailto:one@example.org?subject=x",
        "mailto:one@example.org,two@example.org",
        "mailto:",
        "mailto:one",
        "mailto:m\u{fc}ller@example.org",
    ] {
        let (answer, made) = ask(&mut client, &json!({ "contact": [contact] })).await;
        assert!(answer.status >= 400, "{contact} was taken");
        answer.refused(&[400], &["invalidContact"]);
        assert!(!made, "{contact}");
    }
    Ok(())
}

async fn contacts_of_the_wrong_kind_are_malformed(mut client: Client) -> Verdict {
    for contact in [json!("mailto:one@example.org"), json!([7]), json!([null]), json!({})] {
        let (answer, made) = ask(&mut client, &json!({ "contact": contact })).await;
        assert!(answer.status >= 400, "{contact} was taken");
        answer.refused(&[400], &["malformed", "invalidContact", "unsupportedContact"]);
        assert!(!made, "{contact}");
    }
    Ok(())
}

async fn flags_of_the_wrong_kind_are_malformed(mut client: Client) -> Verdict {
    for wrong in [json!({ "termsOfServiceAgreed": "true" }), json!({ "onlyReturnExisting": "false" })] {
        let (answer, made) = ask(&mut client, &wrong).await;
        assert!(answer.status >= 400, "{wrong} was taken");
        answer.refused(&[400], &["malformed"]);
        assert!(!made, "{wrong}");
    }
    Ok(())
}

async fn what_the_server_owns_is_ignored_in_a_new_account(mut client: Client) -> Verdict {
    let owned = json!({ "orders": "https://ca.example/orders", "status": "deactivated" });
    let (answer, made) = ask(&mut client, &owned).await;
    let object = answer.object(201);
    assert_eq!(object["status"], "valid");
    assert_ne!(object["orders"], owned["orders"]);
    assert!(made);
    Ok(())
}

async fn members_that_nobody_knows_are_ignored(mut client: Client) -> Verdict {
    let (answer, made) = ask(&mut client, &json!({ "favouriteColour": { "is": ["green", null, 7] } })).await;
    assert_eq!(answer.object(201).get("favouriteColour"), None);
    assert!(made);
    Ok(())
}

async fn without_agreement_to_the_terms_no_account_is_made(mut client: Client) -> Verdict {
    if client.directory()["meta"].get("termsOfService").is_none() {
        client = client.with_terms()?;
    }
    for agreed in [json!(false), json!(null)] {
        let (answer, made) = ask(&mut client, &json!({ "termsOfServiceAgreed": agreed })).await;
        assert!(answer.status >= 400, "{agreed}: {}", answer.shown());
        answer.problem();
        assert!(!made, "{agreed}");
    }
    let (answer, _) = ask(&mut client, &json!({ "termsOfServiceAgreed": true })).await;
    answer.object(201);
    Ok(())
}

async fn a_known_key_finds_its_account_with_200(mut client: Client) -> Verdict {
    let account = client.account().await;
    let url = client.url("newAccount");
    let payload = client.new_account_payload(&account.key);
    let answer = client.post_by_key(&account.key, &url, &payload).await;
    assert_eq!(answer.object(200), client.read(&account, &account.kid).await);
    assert_eq!(answer.location(), account.kid);
    Ok(())
}

async fn a_known_key_changes_nothing_at_its_account(mut client: Client) -> Verdict {
    let account = client.account().await;
    let watch = Watch::begin(&mut client, &account, &[]).await;
    let mut payload = client.new_account_payload(&account.key);
    payload["contact"] = json!(["mailto:other@example.org"]);
    let url = client.url("newAccount");
    assert_eq!(client.post_by_key(&account.key, &url, &payload).await.status, 200);
    watch.assert_unchanged(&mut client, &account, "newAccount").await;
    Ok(())
}

async fn simultaneous_requests_with_one_key_make_one_account(client: Client) -> Verdict {
    let key = signing_key(Algorithm::Es256);
    let (url, payload) = (client.url("newAccount"), client.new_account_payload(&key));
    let mut clients: Vec<Client> = (0..8).map(|_| client.another()).collect();
    join_all(clients.iter_mut().map(|one| one.restock())).await;
    let answers = join_all(clients.iter_mut().map(|one| one.post_by_key(&key, &url, &payload))).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 7, "{statuses:?}");
    let location = answers[0].location();
    assert!(answers.iter().all(|answer| answer.location() == location), "two accounts");
    Ok(())
}

async fn only_return_existing_finds_an_account(mut client: Client) -> Verdict {
    let account = client.account().await;
    assert_eq!(client.account_with(&account.key).await, Some(account.kid));
    Ok(())
}

async fn only_return_existing_makes_no_account(mut client: Client) -> Verdict {
    let key = signing_key(Algorithm::Es256);
    // The first question would have made one for the second.
    assert_eq!(client.account_with(&key).await, None);
    assert_eq!(client.account_with(&key).await, None);
    let (url, mut payload) = (client.url("newAccount"), client.new_account_payload(&key));
    payload["onlyReturnExisting"] = json!(true);
    client.post_by_key(&key, &url, &payload).await.refused(&[400], &["accountDoesNotExist"]);
    assert_eq!(client.account_with(&key).await, None);
    Ok(())
}

async fn a_contact_can_be_changed(mut client: Client) -> Verdict {
    let account = client.account().await;
    let contact = json!(["mailto:new@example.org"]);
    let answer = client.post(&account, &account.kid, &json!({ "contact": contact })).await;
    assert_eq!(answer.object(200)["contact"], contact);
    assert_eq!(client.read(&account, &account.kid).await["contact"], contact);
    Ok(())
}

async fn contacts_are_cleared_by_an_empty_list(mut client: Client) -> Verdict {
    let account = client.account().await;
    let contact = json!(["mailto:new@example.org"]);
    client.post(&account, &account.kid, &json!({ "contact": contact })).await.object(200);
    let cleared = client.post(&account, &account.kid, &json!({ "contact": [] })).await.object(200);
    assert!(cleared.get("contact").is_none_or(|contact| *contact == json!([])), "{cleared}");
    Ok(())
}

async fn contacts_are_kept_by_an_update_without_any(mut client: Client) -> Verdict {
    let account = client.account().await;
    let contact = json!(["mailto:new@example.org"]);
    client.post(&account, &account.kid, &json!({ "contact": contact })).await.object(200);
    let kept = client.post(&account, &account.kid, &json!({ "unknown": 7 })).await.object(200);
    assert_eq!(kept["contact"], contact);
    Ok(())
}

async fn what_the_server_owns_is_ignored_in_an_update(mut client: Client) -> Verdict {
    let account = client.account().await;
    let contact = json!(["mailto:same@example.org"]);
    let before = client.post(&account, &account.kid, &json!({ "contact": contact })).await.object(200);
    let owned = json!({
        "contact": contact, "orders": "https://ca.example/orders", "termsOfServiceAgreed": false, "status": "valid"
    });
    let after = client.post(&account, &account.kid, &owned).await.object(200);
    assert_eq!(after, before);
    assert_eq!(client.read(&account, &account.kid).await, before);
    Ok(())
}

async fn a_refused_update_changes_nothing(mut client: Client) -> Verdict {
    let account = client.account().await;
    client.post(&account, &account.kid, &json!({ "contact": ["mailto:one@example.org"] })).await.object(200);
    let watch = Watch::begin(&mut client, &account, &[]).await;
    for (contact, kinds) in [
        (json!(["mailto:two@example.org", "gopher:hole"]), &["unsupportedContact"][..]),
        (json!("mailto:two@example.org"), &["malformed"]),
        (json!([7]), &["malformed", "invalidContact"]),
    ] {
        let answer = client.post(&account, &account.kid, &json!({ "contact": contact })).await;
        assert!(answer.status >= 400, "{contact} was taken");
        answer.refused(&[400], kinds);
        watch.assert_unchanged(&mut client, &account, "a refused update").await;
    }
    Ok(())
}

async fn an_account_is_read_by_post_as_get(mut client: Client) -> Verdict {
    let account = client.account().await;
    assert_eq!(client.read(&account, &account.kid).await["status"], "valid");
    Ok(())
}

async fn an_account_is_read_by_an_empty_object(mut client: Client) -> Verdict {
    let account = client.account().await;
    let object = client.post(&account, &account.kid, &json!({})).await.object(200);
    assert_eq!(object, client.read(&account, &account.kid).await);
    Ok(())
}

impl Client {
    /// A client of a server with terms of service.
    fn with_terms(&self) -> Result<Self, NotApplicable> {
        let target = self.world.with_terms.clone().ok_or(NotApplicable("terms of service"))?;
        Ok(Self::of(&self.world, target))
    }

    /// Takes a nonce, so that the next request needs no other before it.
    async fn restock(&mut self) {
        let url = self.url("newNonce");
        self.get(&url).await;
    }
}
