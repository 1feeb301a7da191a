//! Commands that change something: through the running server, or by themselves if none runs.

use std::path::PathBuf;

use serde_json::Value;
use store::instance::Instance;

use super::print::Paper;
use super::{Failure, Folder, fsck};
use crate::admin_socket::{self, Command, Outcome};
use crate::assembly::Assembly;

/// Runs a command. If the server breaks off, `lost` says how to find out what became of it.
pub(super) async fn run(
    folder: &Folder,
    config: Option<&PathBuf>,
    command: Command,
    lost: &str,
) -> Result<Outcome, Failure> {
    let data = &folder.data;
    // Nothing is made where nothing is: taking the folder would begin a new CA in it.
    Instance::peek(data).map_err(|error| Failure::Failed(format!("{error}; --data names another folder")))?;
    let answered = admin_socket::speak(data, &command).map_err(|error| {
        Failure::Failed(format!("the server that runs on {} broke off ({error}): {lost}", data.display()))
    })?;
    match answered {
        Some(outcome) => Ok(outcome),
        None => {
            let config = fsck::configuration(folder, config)?;
            let assembly = Assembly::open(&config).await.map_err(|error| Failure::assembly(&error))?;
            let outcome = admin_socket::execute(&assembly.ca, command).await;
            // In a server a worker is woken; here nobody else does it.
            assembly.ca.revoke_blocked_keys().await.map_err(|error| {
                Failure::Failed(format!("not all that was issued for blocked keys is revoked: {error}"))
            })?;
            Ok(outcome)
        }
    }
}

/// Writes what became of it; `named` says of what.
pub(super) fn tell(outcome: &Outcome, folder: &Folder, named: Value, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let (word, text) = match outcome {
        Outcome::Done(text) => ("done", text),
        Outcome::Refused(text) => ("refused", text),
        Outcome::Failed(text) => ("failed", text),
        Outcome::ExternalAccountKey { .. } => return Err(Failure::failed("the server answered another command")),
    };
    if folder.json {
        let mut document = named;
        document["outcome"] = word.into();
        document["detail"] = text.as_str().into();
        paper.json(&document);
    }
    match outcome {
        Outcome::Done(text) if !folder.json => paper.line(text),
        Outcome::Done(_) => {}
        Outcome::Refused(text) | Outcome::Failed(text) => return Err(Failure::Failed(text.clone())),
        Outcome::ExternalAccountKey { .. } => {}
    }
    Ok(())
}
