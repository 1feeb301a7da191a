//! RFC 8555 §7.2: newNonce.

use http::Method;

use crate::support::case::{Verdict, cases};
use crate::support::client::Client;

cases! {
    Must head_gives_a_nonce,
    Should head_is_answered_with_200,
    Must a_get_is_answered_with_204_and_a_nonce,
    Must nonces_are_not_to_be_stored,
    Must a_nonce_of_new_nonce_can_be_used,
}

async fn head_gives_a_nonce(mut client: Client) -> Verdict {
    let url = client.url("newNonce");
    let answer = client.send(Method::HEAD, &url, &[], Vec::new()).await;
    assert!(answer.header("replay-nonce").is_some(), "{}", answer.shown());
    Ok(())
}

async fn head_is_answered_with_200(mut client: Client) -> Verdict {
    let url = client.url("newNonce");
    assert_eq!(client.send(Method::HEAD, &url, &[], Vec::new()).await.status, 200);
    Ok(())
}

async fn a_get_is_answered_with_204_and_a_nonce(mut client: Client) -> Verdict {
    let url = client.url("newNonce");
    let answer = client.get(&url).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert!(answer.header("replay-nonce").is_some());
    Ok(())
}

async fn nonces_are_not_to_be_stored(mut client: Client) -> Verdict {
    let url = client.url("newNonce");
    for method in [Method::HEAD, Method::GET] {
        let answer = client.send(method.clone(), &url, &[], Vec::new()).await;
        let control = answer.header("cache-control").unwrap_or_default();
        assert!(control.split(',').any(|one| one.trim() == "no-store"), "{method}: {control:?}");
    }
    Ok(())
}

async fn a_nonce_of_new_nonce_can_be_used(mut client: Client) -> Verdict {
    let url = client.url("newNonce");
    client.get(&url).await;
    let account = client.account().await;
    client.get(&url).await;
    let name = client.name();
    client.order(&account, &[&name]).await;
    Ok(())
}
