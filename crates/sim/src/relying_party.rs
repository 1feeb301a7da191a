//! Relying parties: they ask for the status of certificates and fetch CRLs, of whatever server and at whatever moment.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::{HeaderMap, Method};
use bytes::Bytes;
use ca::ports::Ledger;
use ca::urls::{self, OCSP};
use data_encoding::BASE64;
use pki::ocsp::{IdAlgorithm, IdForm, IssuerIdentity};
use pki::{OcspRequest, Serial};

use crate::audit::now;
use crate::chance::Chance;
use crate::executor::Node;
use crate::keys::{Hierarchy, of_responder};
use crate::machine::Machine;
use crate::network::NoAnswer;
use crate::world::World;

/// The longest that one has no question.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// What the first of all who ask may have to wait for is there after this time.
const FIRST_ANSWER: Duration = Duration::from_secs(60);
/// The longest that one waits before it asks the same again, which may be answered from what was kept.
const AGAIN_MAX: Duration = Duration::from_secs(2);

impl World {
    /// Begins to ask, until the storm is over.
    pub(crate) fn begin_relying_parties(self: &Arc<Self>) {
        for number in 0..self.scenario.relying_parties {
            let world = Arc::clone(self);
            let chance = Chance::new(self.seed, &format!("relying party {number}"));
            self.executor.spawn(Node::WORLD, async move {
                while !world.is_calm() {
                    world.executor.sleep(chance.time(Duration::ZERO, PAUSE_MAX)).await;
                    world.ask(&chance).await;
                }
            });
        }
    }

    async fn ask(&self, chance: &Chance) {
        let machine = || &self.machines[chance.place(self.machines.len())];
        if chance.happens(150) {
            let shard = u16::try_from(chance.below(u64::from(self.settings.crls.current().shards))).unwrap_or(0);
            return self.fetch_crl(machine(), shard, false).await;
        }
        let serials = self.auditor.serials();
        let serial = if serials.is_empty() || chance.happens(50) {
            // Nobody has allocated it.
            Serial::from_random([u8::try_from(chance.below(256)).unwrap_or(0); 16])
        } else {
            chance.one_of(&serials)
        };
        let form = if chance.happens(700) { USUAL } else { drawn_form(chance) };
        let by_get = chance.happens(500);
        self.ask_for_status(machine(), (serial, form), by_get, false).await;
        if chance.happens(300) {
            self.executor.sleep(chance.time(Duration::ZERO, AGAIN_MAX)).await;
            self.ask_for_status(machine(), (serial, form), by_get, false).await;
        }
    }

    async fn ask_for_status(&self, machine: &Machine, (serial, form): (Serial, IdForm), by_get: bool, strictly: bool) {
        let identity = IssuerIdentity::of(&Hierarchy::shared().issuer.certificate);
        let request = OcspRequest::write(&identity.cert_id(form, serial), None);
        let asked = self.auditor.asked_for_status(serial, strictly);
        let answer = if by_get {
            let path = BASE64.encode(&request).replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
            self.network.send(machine, Method::GET, &format!("{OCSP}/{path}"), HeaderMap::new(), Bytes::new()).await
        } else {
            self.network.send(machine, Method::POST, OCSP, HeaderMap::new(), request.into()).await
        };
        match answer {
            Ok(answer) => {
                self.story.tell(|| format!("a relying party was told of {serial} by server {}", machine.number));
                self.auditor.told_status(asked, &answer);
            }
            Err(NoAnswer) => self.is_not_answered(machine, &format!("the status of {serial}"), strictly),
        }
    }

    async fn fetch_crl(&self, machine: &Machine, shard: u16, strictly: bool) {
        let path = urls::crl(&Hierarchy::shared().issuer.id, shard);
        let asked = self.auditor.asked_for_crl(shard, strictly);
        let answer = self.network.send(machine, Method::GET, &path, HeaderMap::new(), Bytes::new()).await;
        match answer {
            Ok(answer) => {
                self.story.tell(|| format!("a relying party has CRL {shard} of server {}", machine.number));
                self.auditor.told_crl(asked, &answer);
            }
            Err(NoAnswer) => self.is_not_answered(machine, &format!("CRL {shard}"), strictly),
        }
    }

    fn is_not_answered(&self, machine: &Machine, what: &str, strictly: bool) {
        if strictly {
            let detail = format!("server {} was asked for {what} at rest, and does not answer", machine.number);
            self.auditor.found(5, detail);
        }
    }

    /// Whether an issuer has signed a certificate for the responder, whoever asked for that.
    fn has_responder(&self) -> bool {
        let issuer = Hierarchy::shared().issuer.id;
        let key = of_responder().public_key().spki_hash();
        now(self.stores.ledger.responders(issuer, key, 1)).is_ok_and(|known| !known.is_empty())
    }

    /// When nothing fails any more each server is asked for all there is, and has to answer.
    pub(crate) fn begin_last_questions(self: &Arc<Self>) {
        let world = Arc::clone(self);
        self.executor.spawn(Node::WORLD, async move {
            // If certificates don't name the responder, it has no certificate before somebody asks for what it signs,
            // which is nothing for a serial that is `wait`. To make one takes eight calls of stores and keys that no
            // request waits for at any other time: where each of them takes seconds, the first of all who ever ask is
            // told to try later.
            if !world.settings.ocsp.in_certificates
                && !world.has_responder()
                && let Some(serial) = world.auditor.answered_serial()
            {
                world.ask_for_status(&world.machines[0], (serial, USUAL), false, false).await;
                world.executor.sleep(FIRST_ANSWER).await;
            }
            for machine in &world.machines {
                for serial in world.auditor.serials() {
                    world.ask_for_status(machine, (serial, USUAL), false, true).await;
                }
                for shard in world.settings.crls.shards() {
                    world.fetch_crl(machine, shard.number, true).await;
                }
            }
            world.last_answered.store(true, Ordering::Relaxed);
        });
    }
}

/// As most software writes it.
const USUAL: IdForm = IdForm { algorithm: IdAlgorithm::Sha1, null_parameters: true };

fn drawn_form(chance: &Chance) -> IdForm {
    let algorithm = chance.one_of(&[IdAlgorithm::Sha1, IdAlgorithm::Sha256]);
    IdForm { algorithm, null_parameters: chance.happens(500) }
}
