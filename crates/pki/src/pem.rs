//! The textual encoding of RFC 7468.

/// The longest text that is read, in octets.
pub const PEM_OCTETS_MAX: usize = 4 << 20;

/// A text that is not PEM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// Longer than [`PEM_OCTETS_MAX`].
    #[error("the PEM text is {0} octets long; at most {PEM_OCTETS_MAX} are read")]
    TooLong(usize),
    /// No block at all.
    #[error("there is no PEM block: nothing begins with -----BEGIN")]
    Empty,
    /// A block that does not end.
    #[error("PEM block {0} has no -----END line")]
    Unfinished(usize),
    /// A block that cannot be decoded.
    #[error("PEM block {block} is malformed: {reason}")]
    Malformed {
        /// Its number, from 1.
        block: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// One block: lines of 64 characters, each ended by a line feed.
pub fn encode(label: &str, der: &[u8]) -> String {
    const LINE: usize = 64;
    let base64 = data_encoding::BASE64.encode(der);
    let mut text = String::with_capacity(base64.len() + base64.len() / LINE + 2 * label.len() + 40);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// All blocks with their labels, in order. Text before, between and after the blocks is passed over (RFC 7468 §2).
pub fn decode(text: &str) -> Result<Vec<(String, Vec<u8>)>, PemError> {
    const BEGIN: &str = "-----BEGIN ";
    const END: &str = "-----END ";
    if text.len() > PEM_OCTETS_MAX {
        return Err(PemError::TooLong(text.len()));
    }
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        let block = blocks.len() + 1;
        let from_begin = &rest[start..];
        let end_line = from_begin.find(END).ok_or(PemError::Unfinished(block))?;
        let length = from_begin[end_line..].find('\n').map_or(from_begin.len(), |line| end_line + line + 1);
        let (label, der) = pem_rfc7468::decode_vec(from_begin[..length].trim_end().as_bytes())
            .map_err(|error| PemError::Malformed { block, reason: error.to_string() })?;
        blocks.push((label.to_owned(), der));
        rest = &from_begin[length..];
    }
    if blocks.is_empty() { Err(PemError::Empty) } else { Ok(blocks) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blocks_of_a_chain_come_out_in_order() {
        let text = format!("some text\n{}\n{}more", encode("CERTIFICATE", b"one"), encode("X509 CRL", b"two"));
        let expected = vec![("CERTIFICATE".to_owned(), b"one".to_vec()), ("X509 CRL".to_owned(), b"two".to_vec())];
        assert_eq!(decode(&text), Ok(expected.clone()));
        assert_eq!(decode(&text.replace('\n', "\r\n")), Ok(expected));
    }

    #[test]
    fn damaged_text_is_refused_with_the_number_of_its_block() {
        assert_eq!(decode("nothing here"), Err(PemError::Empty));
        let two = format!("{}{}", encode("A", b"one"), encode("B", b"two"));
        assert_eq!(decode(&two[..two.len() - 12]), Err(PemError::Unfinished(2)));
        let spoilt = two.replace("dHdv", "d*dv");
        assert!(matches!(decode(&spoilt), Err(PemError::Malformed { block: 2, .. })));
        let mislabelled = two.replace("END A", "END C");
        assert!(matches!(decode(&mislabelled), Err(PemError::Malformed { block: 1, .. })));
    }

    proptest! {
        #[test]
        fn any_octets_survive(der in proptest::collection::vec(any::<u8>(), 1..400)) {
            let decoded = decode(&encode("CERTIFICATE", &der));
            prop_assert_eq!(decoded, Ok(vec![("CERTIFICATE".to_owned(), der)]));
        }
    }
}
