//! `DIR/admin.sock`: commands that change something, spoken to the running server by its own user alone. One line of
//! JSON each way.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use acme::MacKey;
use ca::external_account::KeyTerms;
use ca::ports::{RenewalAdvice, RenewalScope, Revoked, StopScope};
use ca::{Ca, ExternalKeyId, REVOKED_TOGETHER_MAX, Resumed, RevokedTogether, STOPS_MAX};
use futures_util::future::join_all;
use pki::{Reason, Serial, Sha256, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

const FILE_NAME: &str = "admin.sock";
/// The longest command: a key for external accounts with 1000 names of 253 characters.
const LINE_OCTETS_MAX: u64 = 512 * 1024;
/// Who blocks keys with `cairn cert revoke --block-keys`.
const BLOCKED_WITH_REVOCATION: &str = "the operator, without proof";
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// A command that changes something.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// `cairn cert revoke`.
    Revoke {
        /// Which.
        serial: Serial,
        /// Why.
        reason: Reason,
    },
    /// `cairn cert revoke` for many: a page of them.
    RevokeTogether {
        /// Which, at most [`REVOKED_TOGETHER_MAX`].
        serials: BTreeSet<Serial>,
        /// Why.
        reason: Reason,
        /// Whether their keys are blocked first.
        block_keys: bool,
    },
    /// `cairn key block`.
    BlockKey {
        /// SHA-256 of its SubjectPublicKeyInfo.
        spki_hash: Sha256,
        /// Who says by what that it is compromised.
        by: String,
    },
    /// `cairn stop-issuance`.
    StopIssuance {
        /// What for.
        scope: StopScope,
        /// Why.
        reason: String,
    },
    /// `cairn resume-issuance NUMBER`.
    ResumeIssuance {
        /// The stop.
        number: u64,
    },
    /// `cairn resume-issuance` with a scope.
    ResumeIssuanceFor {
        /// Of the stops.
        scope: StopScope,
    },
    /// `cairn renew shift`.
    ShiftRenewals {
        /// Of which certificates.
        scope: RenewalScope,
        /// To which window.
        advice: RenewalAdvice,
    },
    /// `cairn renew undo`.
    UndoRenewals {
        /// The rule.
        number: u64,
    },
    /// `cairn eab create`.
    CreateExternalAccountKey(KeyTerms),
    /// `cairn eab revoke`.
    RevokeExternalAccountKey {
        /// Which.
        kid: ExternalKeyId,
    },
    /// `cairn clock accept`.
    AcceptClock,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done.
    Done(String),
    /// A key for external account binding was made.
    ExternalAccountKey {
        /// Its name.
        kid: ExternalKeyId,
        /// The secret that goes with it, in base64url.
        hmac_key: MacKey,
        /// When it expires (RFC 3339).
        expires: Option<String>,
    },
    /// A page of serials was revoked.
    RevokedTogether(RevokedTogether),
    /// It was done before, or can't be: nothing has changed.
    Refused(String),
    /// It failed: try again.
    Failed(String),
}

/// Runs a command: in the server, or in the command's own process when no server runs.
pub async fn execute(ca: &Ca, command: Command) -> Outcome {
    match command {
        Command::Revoke { serial, reason } => match ca.revoke(serial, reason, "the operator".to_owned()).await {
            Ok(Revoked::Done) => Outcome::Done(format!("{serial} is revoked ({reason})")),
            Ok(Revoked::Already(earlier)) => Outcome::Refused(format!(
                "{serial} is revoked since {} ({})",
                earlier.revoked.to_rfc3339(),
                earlier.reason
            )),
            Ok(Revoked::UnknownSerial) => Outcome::Refused(format!("this CA never allocated the serial {serial}")),
            Err(error) => Outcome::Failed(error.to_string()),
        },
        Command::RevokeTogether { serials, reason, block_keys } => {
            revoke_together(ca, &serials, reason, block_keys).await
        }
        Command::BlockKey { spki_hash, by } => block_key(ca, spki_hash, &by).await,
        Command::StopIssuance { scope, reason } => match ca.stop_issuance(scope, &reason, "the operator").await {
            Ok(stop) => Outcome::Done(format!("{stop}; `cairn resume-issuance {}` lets it go on", stop.number)),
            Err(ca::Error::Refused(problem)) => Outcome::Refused(problem.detail),
            Err(error @ ca::Error::Failed(_)) => Outcome::Failed(error.to_string()),
        },
        Command::ResumeIssuance { number } => resume(ca, &Resumed::Number(number)).await,
        Command::ResumeIssuanceFor { scope } => resume(ca, &Resumed::Scope(scope)).await,
        Command::ShiftRenewals { scope, advice } => match ca.move_renewals(scope, advice).await {
            Ok(moved) => {
                let (number, certificates) = (moved.rule.number, moved.certificates);
                Outcome::Done(format!("rule {number} moves the windows of {certificates} certificates"))
            }
            Err(ca::Error::Refused(problem)) => Outcome::Refused(problem.detail),
            Err(error @ ca::Error::Failed(_)) => Outcome::Failed(error.to_string()),
        },
        Command::UndoRenewals { number } => match ca.withdraw_renewal_rule(number).await {
            Ok(true) => Outcome::Done(format!("rule {number} is taken back")),
            Ok(false) => Outcome::Refused(format!("no rule {number} stands; `cairn renew list` shows those that do")),
            Err(error) => Outcome::Failed(error.to_string()),
        },
        Command::CreateExternalAccountKey(terms) => match ca.create_external_account_key(terms).await {
            Ok(key) => Outcome::ExternalAccountKey {
                kid: key.kid,
                hmac_key: key.mac_key,
                expires: key.expires.map(Timestamp::to_rfc3339),
            },
            Err(ca::Error::Refused(problem)) => Outcome::Refused(problem.detail.clone()),
            Err(error @ ca::Error::Failed(_)) => Outcome::Failed(error.to_string()),
        },
        Command::RevokeExternalAccountKey { kid } => match ca.revoke_external_account_key(&kid).await {
            Ok(Some(key)) => Outcome::Done(format!(
                "key {kid} binds no account any more; the {} that it bound stay (see `cairn eab list`)",
                key.accounts
            )),
            Ok(None) => Outcome::Refused(format!("there is no key {kid}")),
            Err(error) => Outcome::Failed(error.to_string()),
        },
        Command::AcceptClock => accept_clock(ca).await,
    }
}

async fn accept_clock(ca: &Ca) -> Outcome {
    let (leapt, now) = (ca.clock_is_doubted(), ca.now().to_rfc3339());
    match ca.accept_clock("the operator").await {
        Ok(Some(newest)) => {
            let (record, at) = (newest.record, newest.at.to_rfc3339());
            Outcome::Done(format!("{now} is the time; {record} of {at} was written while the clock was wrong"))
        }
        Ok(None) if leapt => Outcome::Done(format!("{now} is the time: the clock leapt forward, and is believed now")),
        Ok(None) => Outcome::Refused(format!(
            "the clock says {now}, is not behind the ledger and has not leapt: there is nothing to accept"
        )),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// The keys come first: of what was revoked here before it was broken off, none is left open.
async fn revoke_together(ca: &Ca, serials: &BTreeSet<Serial>, reason: Reason, block_keys: bool) -> Outcome {
    if serials.len() > REVOKED_TOGETHER_MAX {
        let count = serials.len();
        return Outcome::Refused(format!("{count} serials at once are too many; send {REVOKED_TOGETHER_MAX} at most"));
    }
    let revoked = async {
        if block_keys {
            let records = join_all(serials.iter().map(|serial| ca.ledger.serial(*serial))).await;
            let records = records.into_iter().collect::<Result<Vec<_>, _>>()?;
            let keys: BTreeSet<Sha256> = records.into_iter().flatten().map(|record| record.spki_hash).collect();
            let blocked = join_all(keys.into_iter().map(|key| ca.block_key(key, BLOCKED_WITH_REVOCATION))).await;
            blocked.into_iter().collect::<Result<Vec<()>, _>>()?;
        }
        ca.revoke_all(serials, reason, "the operator").await
    };
    revoked.await.map_or_else(|error: ca::Error| Outcome::Failed(error.to_string()), Outcome::RevokedTogether)
}

async fn resume(ca: &Ca, which: &Resumed) -> Outcome {
    let ended = match ca.resume_issuance(which, "the operator").await {
        Ok(ended) => ended,
        Err(ca::Error::Refused(problem)) => return Outcome::Refused(problem.detail),
        Err(error @ ca::Error::Failed(_)) => return Outcome::Failed(error.to_string()),
    };
    let mut text: Vec<String> =
        ended.iter().map(|stop| format!("stop {} ({}) has ended", stop.number, stop.scope)).collect();
    match ca.ledger.stops(true, STOPS_MAX).await {
        Ok(left) => text.extend(left.iter().map(|stop| format!("still {stop}"))),
        Err(error) => return Outcome::Failed(format!("{}; what still stands is not known: {error}", text.join("; "))),
    }
    Outcome::Done(text.join("; "))
}

async fn block_key(ca: &Ca, spki_hash: Sha256, by: &str) -> Outcome {
    match ca.ledger.blocked_key(spki_hash).await {
        Ok(Some(earlier)) => {
            let (at, by) = (earlier.block.at.to_rfc3339(), earlier.block.by);
            return Outcome::Refused(format!("key {spki_hash} is blocked since {at}, by {by}"));
        }
        Ok(None) => {}
        Err(error) => return Outcome::Failed(error.to_string()),
    }
    match ca.block_key(spki_hash, by).await {
        Ok(()) => Outcome::Done(format!(
            "key {spki_hash} is blocked for ever; what was issued for it is being revoked: `cairn key show {spki_hash}`"
        )),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// The socket of a running server.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    uid: u32,
}

impl Socket {
    /// Binds it. The caller holds the data folder's lock: a socket that stands there is a dead process's.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn bind(data: &Path) -> std::io::Result<Self> {
        let path = data.join(FILE_NAME);
        let named = |error: std::io::Error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if path.exists() {
            fs::remove_file(&path).map_err(named)?;
        }
        // The folder's mode, 0700, keeps others away until the socket's own is set.
        let listener = UnixListener::bind(&path).map_err(named)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(named)?;
        let uid = fs::metadata(&path).map_err(named)?.uid();
        Ok(Self { listener, path, uid })
    }

    /// Serves until the server stops.
    pub async fn serve(self, ca: Arc<Ca>, mut stop: watch::Receiver<bool>) {
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stopped| *stopped) => break,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else { continue };
            let ours = stream.peer_cred().is_ok_and(|peer| peer.uid() == self.uid || peer.uid() == 0);
            if !ours {
                tracing::warn!("a command of another user was turned away");
                continue;
            }
            let ca = Arc::clone(&ca);
            tokio::spawn(async move {
                if let Ok(Err(error)) = tokio::time::timeout(TIME_LIMIT, converse(stream, ca)).await {
                    tracing::debug!(%error, "a command's connection broke");
                }
            });
        }
        let _gone_already = fs::remove_file(&self.path);
    }
}

async fn converse(mut stream: UnixStream, ca: Arc<Ca>) -> std::io::Result<()> {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    tokio::io::BufReader::new(read.take(LINE_OCTETS_MAX)).read_line(&mut line).await?;
    let outcome = match serde_json::from_str(&line) {
        // What has begun is finished, whoever hangs up.
        Ok(command) => tokio::spawn(async move { execute(&ca, command).await })
            .await
            .unwrap_or_else(|error| Outcome::Failed(format!("the command ended early: {error}"))),
        Err(error) => Outcome::Refused(format!("this is no command of this version: {error}")),
    };
    let mut answer = serde_json::to_vec(&outcome)?;
    answer.push(b'\n');
    write.write_all(&answer).await
}

/// Speaks a command to the server that holds this data folder. `None`: none runs.
///
/// # Errors
/// The connection broke.
pub fn speak(data: &Path, command: &Command) -> std::io::Result<Option<Outcome>> {
    let stream = match StdUnixStream::connect(data.join(FILE_NAME)) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(TIME_LIMIT))?;
    let mut request = serde_json::to_vec(command)?;
    request.push(b'\n');
    (&stream).write_all(&request)?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    Ok(Some(serde_json::from_str(&line)?))
}
