//! This CA's own TLS certificate: an order of the built-in account `cairn`, with a key of its own that signs its
//! requests, so that all steps and invariants hold for it too. It renews itself.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use acme::{Algorithm, DnsName, Header, Identifier, Jws, OrderStatus, SigningKey, Verified};
use ca::account::Account;
use ca::order::Outcome;
use ca::{Ca, OrderId, urls};
use keys::{KeyAlgorithm, KeyPair};
use pki::{Certificate, GeneralName, Serial};

use crate::config::{self, Config};
use crate::hierarchy::Files;
use crate::http::tls::OwnCertificate;

/// The URLs of a client that reaches the server by no network.
const BASE: &str = "cairn:";
/// The key of the certificate that is shown, and of the one that is being ordered.
const KEY: &str = "server";
const NEXT_KEY: &str = "server-next";
/// The order of our own certificate has to be done by then.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no certificate for the server itself.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// A key of the built-in account or of the server.
    #[error(transparent)]
    Key(#[from] keys::KeyFileError),
    /// A request of the built-in account was not done.
    #[error("the server's own certificate: {0}")]
    Ca(#[from] ca::Error),
    /// Anything that can't be, but has to be said if it is.
    #[error("the server's own certificate: {0}")]
    Broken(String),
    /// It can't be used.
    #[error(transparent)]
    Tls(#[from] crate::http::tls::TlsError),
}

fn broken(error: impl std::fmt::Display) -> OwnError {
    OwnError::Broken(error.to_string())
}

/// The built-in account as a client.
pub struct OwnClient {
    ca: Arc<Ca>,
    files: Files,
    key: SigningKey,
    names: BTreeSet<Identifier>,
    shown: Arc<OwnCertificate>,
}

impl OwnClient {
    /// The client of this data folder.
    ///
    /// # Errors
    /// Its key can't be read or made.
    pub fn new(ca: Arc<Ca>, config: &Config, shown: Arc<OwnCertificate>) -> Result<Self, OwnError> {
        let files = Files::of(&config.hierarchy);
        let (pair, _) = files.key("account").load_or_generate(KeyAlgorithm::P256)?;
        let pkcs8 = pair.to_pkcs8_der().map_err(broken)?;
        let key = SigningKey::from_pkcs8(Algorithm::Es256, &pkcs8).map_err(broken)?;
        Ok(Self { names: names(config), files, key, shown, ca })
    }

    /// The CA that it is a client of.
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// At the start: shows the certificate that is there, as long as it has not ended; orders one if there is none. The
    /// workers have to run.
    ///
    /// # Errors
    /// See [`OwnError`]: there is nothing to show.
    pub async fn begin(&self) -> Result<(), OwnError> {
        match self.newest().await? {
            // Whether it is still the right one can wait until the doors are open.
            Some(certificate) => self.show(&certificate, &self.files.key(KEY).load()?),
            None => self.renew().await,
        }
    }

    /// Orders a new certificate if the one that is there is for other names, or its last third has begun.
    ///
    /// # Errors
    /// See [`OwnError`]; the old certificate is still shown.
    pub async fn keep(&self) -> Result<(), OwnError> {
        match self.newest().await? {
            Some(certificate) if self.is_fresh(&certificate) => Ok(()),
            Some(_) | None => self.renew().await,
        }
    }

    /// A new key with every certificate: it takes the place of the old one when its certificate is there.
    async fn renew(&self) -> Result<(), OwnError> {
        let next = self.files.key(NEXT_KEY);
        if next.exists()? {
            std::fs::remove_file(next.path()).map_err(broken)?;
        }
        let pair = next.generate(KeyAlgorithm::P256)?;
        let serial = self.order(&pair).await?;
        let record = self.ca.ledger.serial(serial).await.map_err(ca::Error::from)?;
        let der = record.and_then(|record| record.certificate).ok_or_else(|| broken("the ledger lost it"))?;
        std::fs::rename(next.path(), self.files.key(KEY).path()).map_err(broken)?;
        std::fs::File::open(&self.files.keys).and_then(|folder| folder.sync_all()).map_err(broken)?;
        self.show(&Certificate::from_der(&der).map_err(broken)?, &pair)
    }

    /// The newest certificate of the key on disk that has not ended and whose issuer is ours.
    async fn newest(&self) -> Result<Option<Certificate>, OwnError> {
        let file = self.files.key(KEY);
        if !file.exists()? {
            return Ok(None);
        }
        let filter = ca::ports::SerialFilter {
            spki_hash: Some(file.load()?.public_key().spki_hash()),
            status: Some(ca::ports::SerialStatus::Good),
            ..ca::ports::SerialFilter::default()
        };
        let records = self.ca.ledger.serials(filter, 10).await.map_err(ca::Error::from)?;
        let found =
            records.iter().rev().find(|record| record.attached).and_then(|record| record.certificate.as_deref());
        Ok(found.and_then(|der| Certificate::from_der(der).ok()).filter(|certificate| {
            certificate.validity().not_after > self.ca.now() && self.ca.issuer_of(certificate).is_some()
        }))
    }

    fn is_fresh(&self, certificate: &Certificate) -> bool {
        let validity = certificate.validity();
        let third = validity.not_after.since(validity.not_before) / 3;
        let names: BTreeSet<GeneralName> = self.names.iter().map(ca::signing::general_name).collect();
        *certificate.names() == names && validity.not_after.since(self.ca.now()) > third
    }

    async fn order(&self, pair: &KeyPair) -> Result<Serial, OwnError> {
        let account = self.account().await?;
        let profile = config::server_profile(&self.ca.settings).ok_or_else(|| broken("there is no profile for it"))?;
        let made = self.ca.new_operator_order(&account, self.names.clone(), &profile.name).await?;
        self.wait(&account, made.id, OrderStatus::Ready).await?;
        let csr = pki::csr::request(&self.names.iter().map(ca::signing::general_name).collect(), pair.public_key());
        let algorithm = pair.default_signature_algorithm();
        let signature = pair.sign(algorithm, csr.der()).map_err(broken)?;
        let csr = acme::base64url_encode(&csr.with_signature(algorithm, &signature));
        let url = format!("{BASE}{}", urls::finalize(made.id));
        let kid = format!("{BASE}{}", urls::account(account.id));
        let payload = serde_json::to_vec(&acme::Finalize { csr }).map_err(broken)?;
        let request = self.signed(&url, Some(&kid), &payload)?;
        self.ca.finalize(&account, made.id, request).await?;
        let order = self.wait(&account, made.id, OrderStatus::Valid).await?;
        let Some(Outcome::Valid(serial)) = order.outcome() else { return Err(broken("the order has no certificate")) };
        self.ca.acknowledge(&account, made.id).await?;
        Ok(*serial)
    }

    async fn account(&self) -> Result<Account, OwnError> {
        let url = format!("{BASE}{}", urls::NEW_ACCOUNT);
        let request = self.signed(&url, None, br#"{"termsOfServiceAgreed":true}"#)?;
        Ok(self.ca.operator_account(request).await?)
    }

    fn signed(&self, url: &str, kid: Option<&str>, payload: &[u8]) -> Result<Verified, OwnError> {
        let jws = acme::sign(&self.key, Header { nonce: None, url, kid }, payload);
        Jws::parse(&jws).and_then(|jws| jws.verify(self.key.jwk().verifying_key())).map_err(broken)
    }

    async fn wait(&self, account: &Account, id: OrderId, wanted: OrderStatus) -> Result<ca::order::Order, OwnError> {
        let until = self.ca.clock.monotonic() + PATIENCE;
        loop {
            let order = self.ca.order_changed(account, id, PATIENCE).await?;
            let status = order.status(self.ca.now());
            if status == wanted {
                return Ok(order);
            }
            let ended = matches!(status, OrderStatus::Invalid | OrderStatus::Valid);
            if ended || self.ca.clock.monotonic() >= until {
                let why = match order.outcome() {
                    Some(Outcome::Invalid(failure)) => failure.problem.detail.clone(),
                    Some(Outcome::Valid(_)) | None => format!("its order is still {status:?}"),
                };
                return Err(broken(why));
            }
        }
    }

    fn show(&self, certificate: &Certificate, pair: &KeyPair) -> Result<(), OwnError> {
        let issuer = self.ca.issuer_of(certificate).ok_or_else(|| broken("its issuer is not configured"))?;
        let above = issuer.chain.iter().filter(|one| one.issuer() != one.subject());
        let chain = [certificate, &issuer.certificate].into_iter().chain(above);
        let chain = chain.map(|one| one.der().to_vec()).collect();
        Ok(self.shown.replace(chain, &pair.to_pkcs8_der().map_err(broken)?)?)
    }
}

/// What clients may call this server: its host's name, `localhost`, loopback, and what is configured.
fn names(config: &Config) -> BTreeSet<Identifier> {
    let mut hosts = vec!["localhost".to_owned(), config::host_name()];
    let base = config.settings.base_url.as_deref().and_then(|base| url::Url::parse(base).ok());
    hosts.extend(base.and_then(|base| base.host_str().map(str::to_owned)));
    let mut names: BTreeSet<Identifier> = hosts
        .iter()
        .filter_map(|host| match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => Some(Identifier::Ip(address)),
            Err(_) => DnsName::parse_host(host).ok().map(Identifier::Dns),
        })
        .collect();
    names.extend([Identifier::Ip([127, 0, 0, 1].into()), Identifier::Ip(std::net::Ipv6Addr::LOCALHOST.into())]);
    for address in [config.acme.ip(), config.admin.ip()] {
        if !address.is_unspecified() {
            names.insert(Identifier::Ip(address));
        }
    }
    names
}
