//! What the signer asks of CRLs.

use ca::crl::{CrlOutlined, CrlParts};
use ca::ports::CrlState;

use super::*;

impl Setting {
    /// Its entries are in the ledger when this returns.
    async fn crl(&self, number: u64, entries: &[CrlEntry]) -> Linted<CrlDraft> {
        let url = CrlScheme::new(1, STATUS.to_owned()).url(&self.issuer.id, 0).unwrap();
        self.crl_around(number, entries, NOW, Some(&url)).await
    }

    /// The same, by a worker who says other things around the entries.
    async fn crl_around(
        &self,
        number: u64,
        entries: &[CrlEntry],
        this_update: Timestamp,
        distribution_point: Option<&str>,
    ) -> Linted<CrlDraft> {
        let issuer = &self.issuer.certificate;
        let fields = CrlFields {
            issuer: issuer.subject(),
            issuer_key_identifier: issuer.public_key().key_identifier(),
            signature_algorithm: self.issuer.signature_algorithm,
            number,
            this_update,
            next_update: NOW.plus(HOUR * 24),
            distribution_point,
        };
        let mut sorted = entries.to_vec();
        sorted.sort_by_key(|entry| entry.serial);
        let mut octets = Vec::new();
        sorted.iter().for_each(|entry| pki::crl::encode_entry(&mut octets, entry));
        let outline = CrlOutline::build(&fields, entries.len() as u64, octets.len() as u64);
        let mut linter = CrlLinter::new(outline, None, issuer, NOW).unwrap();
        if !octets.is_empty() {
            linter.entries(&octets).unwrap();
            self.put(number, octets).await;
        }
        linter.finish().unwrap_or_else(|findings| panic!("{findings}"))
    }

    async fn put(&self, number: u64, octets: Vec<u8>) {
        let place = CrlPart { issuer: self.issuer.id, shard: 0, number, part: 0 };
        self.ledger.put_crl_part(place, octets).await.unwrap();
    }

    async fn sign_crl(&self, number: u64, tbs: Linted<CrlDraft>) -> Result<Signed, SignError> {
        self.signer.sign(SigningRequest::Crl { issuer: self.issuer.id, shard: 0, number, tbs }).await
    }
}

fn entry(serial: Serial, revoked_at: Timestamp) -> CrlEntry {
    CrlEntry { serial, revoked_at, reason: Reason::Superseded }
}

#[tokio::test]
async fn a_crl_of_the_ledgers_entries_is_signed_once_per_number() {
    let setting = setting().await;
    let begun = setting.begin(1).await;
    let revoked = NOW.minus(HOUR);
    setting.revoke(begun.serial, revoked).await;
    setting.ledger.allocate_crl_number(setting.issuer.id, 0, 1, NOW).await.unwrap();
    let linted = setting.crl(1, &[entry(begun.serial, revoked)]).await;
    let (outline, sha256) = (linted.tbs().outline().clone(), linted.tbs().sha256());
    let signed = setting.sign_crl(1, linted).await.unwrap();
    let (issuer, (entries, entry_octets)) = (setting.issuer.id, outline.entries());
    let (head, tail) = outline.signed(setting.issuer.signature_algorithm, &signed.der);
    let (this_update, next_update) = (NOW, NOW.plus(HOUR));
    let record =
        CrlRecord { issuer, shard: 0, number: 1, this_update, next_update, head, entries, entry_octets, tail, sha256 };
    let part = CrlParts::of(&*setting.ledger, &record).next().await.unwrap().unwrap();
    let crl = Crl::from_der(&[&record.head[..], &part, &record.tail].concat()).unwrap();
    assert_eq!(crl.verify_signed_by(setting.issuer.certificate.public_key()), Ok(()));
    assert_eq!(crl.entries(), [entry(begun.serial, revoked)]);
    setting.ledger.store_crl(record).await.unwrap();
    refusal(setting.sign_crl(1, setting.crl(1, &[entry(begun.serial, revoked)]).await).await);
}

#[tokio::test]
async fn a_crl_whose_number_was_not_allocated_is_refused() {
    let setting = setting().await;
    assert!(refusal(setting.sign_crl(1, setting.crl(1, &[]).await).await).contains("CRL number 1"));
    setting.ledger.allocate_crl_number(setting.issuer.id, 0, 2, NOW).await.unwrap();
    assert!(refusal(setting.sign_crl(2, setting.crl(3, &[]).await).await).contains("number is 3, not 2"));
    setting.sign_crl(2, setting.crl(2, &[]).await).await.unwrap();
}

#[tokio::test]
async fn a_crl_with_other_entries_than_the_ledgers_is_refused() {
    let setting = setting().await;
    let (listed, missing) = (setting.begin(1).await.serial, setting.begin(2).await.serial);
    let revoked = NOW.minus(HOUR);
    setting.revoke(listed, revoked).await;
    setting.ledger.allocate_crl_number(setting.issuer.id, 0, 1, NOW).await.unwrap();
    let sign = async |entries: &[CrlEntry]| setting.sign_crl(1, setting.crl(1, entries).await).await;
    let good = entry(listed, revoked);
    assert!(refusal(sign(&[]).await).contains("revoked, and not in the CRL"));
    assert!(refusal(sign(&[good, entry(missing, revoked)]).await).contains("not the ledger's"));
    assert!(refusal(sign(&[entry(listed, NOW)]).await).contains("not the ledger's"));
    let reason = Reason::CessationOfOperation;
    assert!(refusal(sign(&[CrlEntry { reason, ..good }]).await).contains("not the ledger's"));
    sign(&[good]).await.unwrap();
}

#[tokio::test]
async fn a_revocation_that_came_while_the_crl_was_made_may_wait_for_the_next() {
    let setting = setting().await;
    let (early, late) = (setting.begin(1).await.serial, setting.begin(2).await.serial);
    setting.revoke(late, NOW.minus(Duration::from_secs(299))).await;
    setting.ledger.allocate_crl_number(setting.issuer.id, 0, 1, NOW).await.unwrap();
    setting.sign_crl(1, setting.crl(1, &[]).await).await.unwrap();
    setting.revoke(early, NOW.minus(Duration::from_secs(300))).await;
    assert!(refusal(setting.sign_crl(1, setting.crl(1, &[]).await).await).contains("not in the CRL"));
}

#[tokio::test]
async fn a_reason_raised_to_key_compromise_does_not_stop_the_crl() {
    let setting = setting().await;
    let serial = setting.begin(1).await.serial;
    setting.revoke(serial, NOW.minus(HOUR)).await;
    assert_eq!(setting.ledger.upgrade_to_key_compromise(serial, "a test").await, Ok(true));
    setting.ledger.allocate_crl_number(setting.issuer.id, 0, 1, NOW).await.unwrap();
    setting.sign_crl(1, setting.crl(1, &[entry(serial, NOW.minus(HOUR))]).await).await.unwrap();
}

#[tokio::test]
async fn a_crl_whose_entries_were_changed_after_it_was_linted_is_refused() {
    let setting = setting().await;
    let (listed, other) = (setting.begin(1).await.serial, setting.begin(2).await.serial);
    let revoked = NOW.minus(Duration::from_secs(10));
    setting.revoke(listed, revoked).await;
    setting.revoke(other, revoked).await;
    setting.ledger.allocate_crl_number(setting.issuer.id, 0, 1, NOW).await.unwrap();
    let linted = setting.crl(1, &[entry(listed, revoked)]).await;
    let mut octets = Vec::new();
    pki::crl::encode_entry(&mut octets, &entry(other, revoked));
    setting.put(1, octets).await;
    assert!(refusal(setting.sign_crl(1, linted).await).contains("not those that were linted"));
}

#[tokio::test]
async fn a_crl_that_says_to_be_of_another_shard_or_of_none_is_refused() {
    let setting = setting().await;
    setting.ledger.allocate_crl_number(setting.issuer.id, 0, 1, NOW).await.unwrap();
    let other = CrlScheme::new(4, STATUS.to_owned()).url(&setting.issuer.id, 1).unwrap();
    let longer = format!("{}?", CrlScheme::new(1, STATUS.to_owned()).url(&setting.issuer.id, 0).unwrap());
    for url in [Some(other.as_str()), Some(longer.as_str()), None] {
        let linted = setting.crl_around(1, &[], NOW, url).await;
        let reason = refusal(setting.sign_crl(1, linted).await);
        assert!(reason.contains("shard 0 is http://status.example.org/crl/"), "{reason}");
    }
    let tbs = setting.crl(1, &[]).await;
    let request = SigningRequest::Crl { issuer: setting.issuer.id, shard: 1, number: 1, tbs };
    let reason = refusal(setting.signer.sign(request).await);
    assert!(reason.contains("there is no shard 1"), "{reason}");
}

#[tokio::test]
async fn a_shard_is_signed_for_at_the_url_of_its_generation_alone() {
    const ELSEWHERE: &str = "http://elsewhere.example.org";
    let mut setting = setting().await;
    let scheme = CrlScheme::new(1, STATUS.to_owned()).changed_to(2, ELSEWHERE, NOW).unwrap();
    let (first, second) = (scheme.url(&setting.issuer.id, 0).unwrap(), scheme.url(&setting.issuer.id, 1).unwrap());
    setting.signer.crls = scheme;
    for shard in 0..4 {
        setting.ledger.allocate_crl_number(setting.issuer.id, shard, 1, NOW).await.unwrap();
    }
    let signed = async |shard: u16, url: &str| {
        let tbs = setting.crl_around(1, &[], NOW, Some(url)).await;
        setting.signer.sign(SigningRequest::Crl { issuer: setting.issuer.id, shard, number: 1, tbs }).await
    };
    let moved = first.replace(STATUS, ELSEWHERE);
    let left = second.replace(ELSEWHERE, STATUS);
    for (shard, url) in [(0, &second), (0, &moved), (1, &first), (1, &left), (2, &second)] {
        let reason = refusal(signed(shard, url).await);
        assert!(reason.contains(&format!("shard {shard} is http://")), "{reason}");
    }
    let behind = second.replace("/1.crl", "/3.crl");
    let reason = refusal(signed(3, &behind).await);
    assert!(reason.contains("there is no shard 3 in any generation"), "{reason}");
    signed(0, &first).await.unwrap();
    signed(1, &second).await.unwrap();
}

#[tokio::test]
async fn a_revoked_serial_belongs_on_the_crl_of_its_generation() {
    let mut setting = setting().await;
    let begun = setting.begin(1).await;
    setting.signer.crls = CrlScheme::new(1, STATUS.to_owned()).changed_to(2, STATUS, NOW).unwrap();
    let revoked = NOW.minus(HOUR);
    setting.revoke(begun.serial, revoked).await;
    let of_new = 1 + begun.serial.shard(2);
    for shard in [0, of_new] {
        setting.ledger.allocate_crl_number(setting.issuer.id, shard, 1, NOW).await.unwrap();
    }
    let url = |shard| setting.signer.crls.url(&setting.issuer.id, shard).unwrap();
    let empty = setting.crl_around(1, &[], NOW, Some(&url(0))).await;
    assert!(refusal(setting.sign_crl(1, empty).await).contains("is revoked, and not in the CRL"));
    let (issuer, number) = (setting.issuer.id, 1);
    let tbs = setting.crl_around(1, &[], NOW, Some(&url(of_new))).await;
    setting.signer.sign(SigningRequest::Crl { issuer, shard: of_new, number, tbs }).await.unwrap();
    let listing = setting.crl_around(1, &[entry(begun.serial, revoked)], NOW, Some(&url(0))).await;
    setting.sign_crl(1, listing).await.unwrap();
}

#[tokio::test]
async fn a_crl_of_long_ago_is_refused() {
    let setting = setting().await;
    setting.ledger.allocate_crl_number(setting.issuer.id, 0, 1, NOW).await.unwrap();
    let url = CrlScheme::new(1, STATUS.to_owned()).url(&setting.issuer.id, 0).unwrap();
    let made = async |this_update: Timestamp| {
        setting.sign_crl(1, setting.crl_around(1, &[], this_update, Some(&url)).await).await
    };
    let reason = refusal(made(NOW.minus(HOUR).minus(Duration::from_secs(1))).await);
    assert!(reason.contains("more than 3600 seconds ago"), "{reason}");
    made(NOW.minus(HOUR)).await.unwrap();
}

#[test]
fn a_crl_counts_for_ten_days_at_most_and_not_from_before_the_last_one() {
    let issuer = issuer_key().issuer.clone();
    let crl = |this_update: Timestamp, next_update: Timestamp| {
        let outlined = CrlOutlined { shard: 0, number: 2, this_update, next_update, entries: 0, entry_octets: 0 };
        CrlScheme::new(1, STATUS.to_owned()).outline(&issuer, &outlined).unwrap().read().unwrap()
    };
    let state = |this_update: Timestamp| {
        let (head, tail) = (Vec::new(), Vec::new());
        let (issuer, sha256, next_update) = (issuer.id, Sha256::of(b"the last one"), NOW);
        let (entries, entry_octets) = (0, 0);
        let last = CrlRecord {
            issuer,
            shard: 0,
            number: 1,
            this_update,
            next_update,
            head,
            entries,
            entry_octets,
            tail,
            sha256,
        };
        CrlState { allocated: 2, last: Some(last), last_revocation: None }
    };
    let second = Duration::from_secs(1);
    let check = |state: &CrlState, crl: &Crl| signing::check_crl_times(state, crl, NOW).map_err(|no| no.to_string());
    let empty = CrlState::default();
    assert_eq!(check(&empty, &crl(NOW, NOW.plus(HOUR * 240))), Ok(()));
    for next_update in [NOW.plus(HOUR * 240).plus(second), NOW, NOW.minus(second)] {
        let refused = check(&empty, &crl(NOW, next_update)).unwrap_err();
        assert!(refused.contains("at most 10 days"), "{refused}");
    }
    let crl = crl(NOW, NOW.plus(HOUR));
    assert_eq!(check(&state(NOW), &crl), Ok(()));
    let refused = check(&state(NOW.plus(second)), &crl).unwrap_err();
    assert!(refused.contains("before that"), "{refused}");
    assert_eq!(check(&state(NOW.plus(HOUR)), &crl), Ok(()), "that one was made while the clock was wrong");
}
