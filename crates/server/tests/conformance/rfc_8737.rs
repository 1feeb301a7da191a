//! RFC 8737: tls-alpn-01.

use serde_json::{Value, json};

use crate::support::answer::{list, text};
use crate::support::case::{NotApplicable, Verdict, cases};
use crate::support::client::Client;
use crate::support::order::challenge_of;
use crate::support::tls::{ACME_TLS, Identity};

cases! {
    Must tls_alpn_01_is_shown_by_a_certificate_with_the_digest,
    Must a_certificate_with_another_digest_fails,
    Must a_certificate_whose_extension_is_not_critical_fails,
    Must a_certificate_for_another_name_fails,
    Must a_certificate_with_a_second_name_fails,
    Must a_server_that_speaks_another_protocol_fails,
    Should tls_alpn_01_is_offered_for_names_and_not_for_wildcards,
}

/// What a case shows: subjectAltName, id-pe-acmeIdentifier and protocol.
struct Show {
    names: String,
    extension: String,
    protocol: Vec<u8>,
}

/// Shows what was right before it was spoilt; what the authorization comes to.
async fn shown(client: &mut Client, status: &str, spoil: impl FnOnce(&mut Show)) -> Result<Value, NotApplicable> {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let object = client.read(&account, order.authorization(0)).await;
    let challenge = challenge_of(&object, "tls-alpn-01").ok_or(NotApplicable("tls-alpn-01"))?;
    let digest = account.key_authorization(&challenge.token).sha256();
    let mut show = Show {
        names: format!("DNS:{name}"),
        extension: format!("critical,DER:0420{}", data_encoding::HEXLOWER.encode(&digest)),
        protocol: ACME_TLS.to_vec(),
    };
    spoil(&mut show);
    let identity = Identity::new(&show.names, &show.extension).await;
    client.world.tls.show(&name, &show.protocol, &identity);
    client.post(&account, &challenge.url, &json!({})).await.object(200);
    Ok(client.wait_for(&account, order.authorization(0), status).await)
}

async fn tls_alpn_01_is_shown_by_a_certificate_with_the_digest(mut client: Client) -> Verdict {
    shown(&mut client, "valid", |_| ()).await?;
    Ok(())
}

async fn a_certificate_with_another_digest_fails(mut client: Client) -> Verdict {
    shown(&mut client, "invalid", |show| show.extension = format!("critical,DER:0420{}", "00".repeat(32))).await?;
    Ok(())
}

async fn a_certificate_whose_extension_is_not_critical_fails(mut client: Client) -> Verdict {
    shown(&mut client, "invalid", |show| show.extension = show.extension.replace("critical,", "")).await?;
    Ok(())
}

async fn a_certificate_for_another_name_fails(mut client: Client) -> Verdict {
    shown(&mut client, "invalid", |show| show.names = "DNS:other.example".to_owned()).await?;
    Ok(())
}

async fn a_certificate_with_a_second_name_fails(mut client: Client) -> Verdict {
    shown(&mut client, "invalid", |show| show.names.push_str(",DNS:other.example")).await?;
    Ok(())
}

async fn a_server_that_speaks_another_protocol_fails(mut client: Client) -> Verdict {
    shown(&mut client, "invalid", |show| show.protocol = b"http/1.1".to_vec()).await?;
    Ok(())
}

async fn tls_alpn_01_is_offered_for_names_and_not_for_wildcards(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name, &format!("*.{name}")]).await;
    for url in list(&order.object["authorizations"]) {
        let object = client.read(&account, text(url)).await;
        let offered = challenge_of(&object, "tls-alpn-01").is_some();
        assert_eq!(offered, object["wildcard"] != true, "{object}");
    }
    Ok(())
}
