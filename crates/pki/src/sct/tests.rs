use proptest::prelude::*;

use super::*;
use crate::testing::{EdSigner, RsaSigner, World};
use crate::{Ct, TbsCertificate};

fn any_sct() -> impl Strategy<Value = Sct> {
    let signature = (any::<u8>(), any::<u8>(), proptest::collection::vec(any::<u8>(), 0..300))
        .prop_map(|(hash, algorithm, signature)| DigitallySigned { hash, algorithm, signature });
    (any::<[u8; 32]>(), 0..i64::MAX, proptest::collection::vec(any::<u8>(), 0..40), signature).prop_map(
        |(log, millis, extensions, signature)| Sct {
            log_id: LogId(log),
            timestamp: Timestamp::from_millis(millis),
            extensions,
            signature,
        },
    )
}

proptest! {
    #[test]
    fn lists_read_back(scts in proptest::collection::vec(any_sct(), 1..6)) {
        let encoded = encode_sct_list(&scts);
        prop_assert_eq!(decode_sct_list(&encoded), Ok(scts.clone()));
        prop_assert_eq!(Sct::from_tls(&scts[0].to_tls()), Ok(scts[0].clone()));
        prop_assert_eq!(LogId::parse(&scts[0].log_id.to_string()), Some(scts[0].log_id));
    }

    #[test]
    fn lists_cut_short_or_continued_are_refused(sct in any_sct(), cut in 1usize..40) {
        let encoded = encode_sct_list(&[sct]);
        prop_assert!(decode_sct_list(&encoded[..encoded.len() - cut]).is_err());
        prop_assert!(decode_sct_list(&[&encoded[..], &[0]].concat()).is_err());
    }
}

#[test]
fn empty_lists_and_other_versions_are_refused() {
    assert!(decode_sct_list(&[0, 0]).is_err());
    assert!(decode_sct_list(&[]).is_err());
    assert_eq!(Sct::from_tls(&[1, 2, 3]), Err(SctError::Version(1)));
}

#[test]
fn sct_verifies_over_its_own_entry_alone() {
    let world = World::new();
    let precertificate = TbsCertificate::leaf(&world.leaf(Ct::Poison));
    let sct = world.scts(&precertificate).remove(0);
    let log_key = world.log.public_key();
    let entry =
        PrecertEntry { issuer_key_hash: world.intermediate.public_key().spki_hash(), tbs: precertificate.without_ct() };
    assert_eq!(sct.verify(&log_key, &entry), Ok(()));

    let bad = Err(SctError::Key(KeyError::BadSignature));
    let with_poison = PrecertEntry { tbs: precertificate.der().to_vec(), ..entry.clone() };
    assert_eq!(sct.verify(&log_key, &with_poison), bad);
    let other_issuer = PrecertEntry { issuer_key_hash: Sha256::of(b"another"), ..entry.clone() };
    assert_eq!(sct.verify(&log_key, &other_issuer), bad);
    let later = Sct { timestamp: Timestamp::from_millis(sct.timestamp.millis() + 1), ..sct.clone() };
    assert_eq!(later.verify(&log_key, &entry), bad);
    let other_log = RsaSigner::of("root").public_key();
    assert!(matches!(sct.verify(&other_log, &entry), Err(SctError::OtherLog { .. })));
    let of_sha512 = Sct { signature: DigitallySigned { hash: 6, ..sct.signature.clone() }, ..sct };
    assert_eq!(of_sha512.verify(&log_key, &entry), Err(SctError::Algorithm { hash: 6, algorithm: 1 }));
}

#[test]
fn logs_sign_with_p256_or_rsa_only() {
    assert_eq!(DigitallySigned::sha256(&EdSigner::of(1).public_key(), Vec::new()), None);
    let p256 = DigitallySigned::sha256(&crate::testing::p256_key(), vec![7]).unwrap();
    assert_eq!(p256.to_tls(), [4, 3, 0, 1, 7]);
    assert_eq!(DigitallySigned::from_tls(&p256.to_tls()), Ok(p256));
    assert!(DigitallySigned::from_tls(&[4, 3, 0, 1, 7, 0]).is_err());
}

#[test]
fn entry_is_laid_out_as_in_rfc_6962_3_2() {
    let entry = PrecertEntry { issuer_key_hash: Sha256::from_bytes([9; 32]), tbs: vec![5; 3] };
    let timestamp = Timestamp::from_millis(0x0102);
    let expected = [&[0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 1][..], &[9; 32], &[0, 0, 3, 5, 5, 5, 0, 2, 8, 8]].concat();
    assert_eq!(entry.signed_data(timestamp, &[8, 8]), expected);
    assert_eq!(entry.merkle_tree_leaf(timestamp, &[8, 8]), expected);
}
