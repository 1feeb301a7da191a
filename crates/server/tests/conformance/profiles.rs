//! draft-ietf-acme-profiles: the choice of a profile.

use serde_json::{Map, Value, json};

use crate::support::case::{NotApplicable, Verdict, cases};
use crate::support::client::Client;
use crate::support::order::{Order, identifiers};
use crate::support::watch::Watch;

cases! {
    Must every_profile_of_the_directory_can_be_chosen_and_is_shown,
    Must a_profile_that_is_not_in_the_directory_is_refused,
    Must a_profile_that_is_no_text_is_refused,
    Should without_a_choice_the_order_shows_the_profile_that_was_taken,
    Must a_certificate_is_issued_for_each_profile,
}

fn profiles(client: &Client) -> Result<Map<String, Value>, NotApplicable> {
    client.directory()["meta"]["profiles"].as_object().cloned().ok_or(NotApplicable("profiles"))
}

async fn every_profile_of_the_directory_can_be_chosen_and_is_shown(mut client: Client) -> Verdict {
    let account = client.account().await;
    for (profile, _) in profiles(&client)? {
        let name = client.name();
        let answer =
            client.new_order(&account, &json!({ "identifiers": identifiers(&[&name]), "profile": profile })).await;
        assert_eq!(answer.object(201)["profile"], profile.as_str());
        assert_eq!(client.read(&account, &answer.location()).await["profile"], profile.as_str());
    }
    Ok(())
}

async fn a_profile_that_is_not_in_the_directory_is_refused(mut client: Client) -> Verdict {
    profiles(&client)?;
    let account = client.account().await;
    let watch = Watch::begin(&mut client, &account, &[]).await;
    for profile in ["nobody's", "", "CLASSIC"] {
        let name = client.name();
        let answer =
            client.new_order(&account, &json!({ "identifiers": identifiers(&[&name]), "profile": profile })).await;
        assert!(answer.status >= 400, "{profile:?} was taken: {}", answer.shown());
        answer.refused(&[400, 403], &["invalidProfile"]);
        watch.assert_unchanged(&mut client, &account, profile).await;
    }
    Ok(())
}

async fn a_profile_that_is_no_text_is_refused(mut client: Client) -> Verdict {
    profiles(&client)?;
    let account = client.account().await;
    for profile in [json!(7), json!(["classic"]), json!({})] {
        let name = client.name();
        let answer =
            client.new_order(&account, &json!({ "identifiers": identifiers(&[&name]), "profile": profile })).await;
        assert!(answer.status >= 400, "{profile} was taken: {}", answer.shown());
        answer.refused(&[400, 403], &["invalidProfile", "malformed"]);
    }
    Ok(())
}

async fn without_a_choice_the_order_shows_the_profile_that_was_taken(mut client: Client) -> Verdict {
    let profiles = profiles(&client)?;
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let shown = order.object["profile"].as_str().unwrap_or_else(|| panic!("no profile: {}", order.object));
    assert!(profiles.contains_key(shown), "{shown} is not in the directory");
    Ok(())
}

async fn a_certificate_is_issued_for_each_profile(mut client: Client) -> Verdict {
    let account = client.account().await;
    for (profile, _) in profiles(&client)? {
        let name = client.name();
        let answer =
            client.new_order(&account, &json!({ "identifiers": identifiers(&[&name]), "profile": profile })).await;
        let order = Order { object: answer.object(201), url: answer.location() };
        let order = client.make_ready(&account, order).await;
        let issued = client.issue(&account, order, &[&name]).await;
        assert_eq!(issued.order.object["profile"], profile.as_str());
    }
    Ok(())
}
