//! A minimal reader of DER headers, for surgery on bytes that must stay as they are.

/// One encoded value: tag, contents, and the whole of it.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    pub(crate) tag: u8,
    pub(crate) contents: &'a [u8],
    pub(crate) encoded: &'a [u8],
}

/// Takes values off the front of `rest`. All methods give `None` where the bytes are not DER.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek_tag(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next value, whatever it is. Tags of more than one octet do not occur in X.509.
    pub(crate) fn any(&mut self) -> Option<Value<'a>> {
        let (&tag, after_tag) = self.rest.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, after_first) = after_tag.split_first()?;
        let (length, after_length) = if first < 0x80 {
            (usize::from(first), after_first)
        } else {
            let octets = usize::from(first & 0x7f);
            if octets == 0 || octets > 4 {
                return None;
            }
            let (encoded, rest) = after_first.split_at_checked(octets)?;
            let length = encoded.iter().fold(0, |value, octet| value << 8 | usize::from(*octet));
            let shortest = length >= 0x80 && encoded[0] != 0;
            shortest.then_some((length, rest))?
        };
        let (contents, rest) = after_length.split_at_checked(length)?;
        let encoded = &self.rest[..self.rest.len() - rest.len()];
        self.rest = rest;
        Some(Value { tag, contents, encoded })
    }

    pub(crate) fn expect(&mut self, tag: u8) -> Option<Value<'a>> {
        self.any().filter(|value| value.tag == tag)
    }

    /// The next value if it has this tag; otherwise nothing is taken.
    pub(crate) fn optional(&mut self, tag: u8) -> Option<Value<'a>> {
        if self.peek_tag()? == tag { self.any() } else { None }
    }

    pub(crate) fn finish(self) -> Option<()> {
        self.is_empty().then_some(())
    }
}

/// The only value in `encoded`, if it has this tag and nothing follows it.
pub(crate) fn only(encoded: &[u8], tag: u8) -> Option<Value<'_>> {
    let mut reader = Reader::new(encoded);
    let value = reader.expect(tag)?;
    reader.finish()?;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_are_not_shortest_are_refused() {
        let not_der: [&[u8]; 6] =
            [&[4, 0x81, 1, 7], &[4, 0x82, 0, 1, 7], &[4, 0x80, 7, 0, 0], &[4, 2, 7], &[4], &[0x1f, 1, 0]];
        for bytes in not_der {
            assert!(Reader::new(bytes).any().is_none(), "{bytes:02x?}");
        }
        assert_eq!(only(&[4, 1, 7], 4).map(|value| value.contents), Some(&[7u8][..]));
        assert!(only(&[4, 1, 7, 0], 4).is_none());
    }
}
