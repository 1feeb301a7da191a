//! Where CRLs are: what certificates say of them, and what they say of themselves.

use pki::{CrlFields, CrlOutline, Serial, Sha256, Timestamp};

use crate::ports::{CrlGeneration, CrlGenerationId, CrlShard, Issuer};
use crate::settings::Settings;
use crate::urls;

/// How an issuer's CRL is cut into shards, and was, and where those are fetched: generations of shards, of which one is
/// that of new certificates. No shard is in two generations, so that none ever has two URLs or two meanings. Who makes
/// CRLs and who signs them each have one, of their own configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlScheme {
    /// In the order of their numbers, each beginning where the one before it ends. At least one.
    generations: Vec<CrlGeneration>,
    /// Which of them new certificates get.
    current: usize,
}

/// Why there can be no such scheme.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrlSchemeError {
    /// There is none.
    #[error("there is no generation of CRL shards")]
    Empty,
    /// One does not begin where the one before it ends.
    #[error("the generation of CRL shards that begins at {found} should begin at {wanted}, and have a shard")]
    Gap {
        /// Where it should.
        wanted: u32,
        /// Where it does.
        found: u16,
    },
    /// That of new certificates is none of them.
    #[error("no generation of CRL shards begins at {0}, where that of new certificates is to begin")]
    NoCurrent(CrlGenerationId),
    /// Two records of one generation differ.
    #[error(
        "the CRL shards from number {id} on are {} at {} in one record, and {} at {} in another",
        one.0, one.1, other.0, other.1
    )]
    Conflict {
        /// Which.
        id: CrlGenerationId,
        /// How many they are in the one, and their URL.
        one: (u16, String),
        /// And in the other.
        other: (u16, String),
    },
    /// There are as many generations as there may be.
    #[error("they were changed {} times already, which is as often as they may be", CrlScheme::GENERATIONS_MAX - 1)]
    TooMany,
    /// No number is left for so many shards.
    #[error("{0} more CRL shards can't be numbered: all numbers together are 65535")]
    TooManyShards(u16),
}

/// What stands in a CRL around its entries, but for what its issuer and its shard's URL say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrlOutlined {
    /// Its shard.
    pub shard: u16,
    /// Its number.
    pub number: u64,
    /// `thisUpdate`.
    pub this_update: Timestamp,
    /// `nextUpdate`.
    pub next_update: Timestamp,
    /// How many entries it has.
    pub entries: u64,
    /// How many octets those take.
    pub entry_octets: u64,
}

impl CrlScheme {
    /// So many generations there may be. Each shard of each that has not ended has its own CRLs.
    pub const GENERATIONS_MAX: usize = 32;

    /// That of a CA which has begun with so many shards, at URLs that begin with this one.
    pub fn new(shards: u16, status_url: String) -> Self {
        let first = CrlGeneration { id: CrlGenerationId(0), shards: shards.max(1), status_url, since: None };
        Self { generations: vec![first], current: 0 }
    }

    /// That of these generations, of which new certificates get the named one.
    ///
    /// # Errors
    /// See [`CrlSchemeError`].
    pub fn of_generations(generations: Vec<CrlGeneration>, current: CrlGenerationId) -> Result<Self, CrlSchemeError> {
        let mut wanted = Some(0);
        for one in &generations {
            if wanted != Some(one.id.0) || one.shards == 0 {
                return Err(CrlSchemeError::Gap { wanted: wanted.map_or(1 << 16, u32::from), found: one.id.0 });
            }
            wanted = one.end();
        }
        if generations.is_empty() {
            return Err(CrlSchemeError::Empty);
        }
        let found = generations.iter().position(|one| one.id == current);
        Ok(Self { generations, current: found.ok_or(CrlSchemeError::NoCurrent(current))? })
    }

    /// That of a configuration.
    pub fn of(settings: &Settings) -> Self {
        settings.crls.clone()
    }

    /// With what another record has beyond this one. New certificates get the same generation as before.
    ///
    /// # Errors
    /// Both have a generation of the same number, and not the same one.
    pub fn with(mut self, others: &[CrlGeneration]) -> Result<Self, CrlSchemeError> {
        for other in others {
            match self.generations.iter().find(|one| one.id == other.id) {
                Some(one) if one.is(other) => {}
                Some(one) => {
                    let said = |of: &CrlGeneration| (of.shards, of.status_url.clone());
                    return Err(CrlSchemeError::Conflict { id: one.id, one: said(one), other: said(other) });
                }
                None => self.generations.push(other.clone()),
            }
        }
        let current = self.current().id;
        Self::of_generations(self.generations, current)
    }

    /// Gives new certificates so many shards at this URL: those of a generation that has been so before, or else of a
    /// new one behind the last.
    ///
    /// # Errors
    /// There may be no more generations, or shards.
    pub fn changed_to(mut self, shards: u16, status_url: &str, since: Timestamp) -> Result<Self, CrlSchemeError> {
        let same = |one: &CrlGeneration| one.shards == shards && one.status_url == status_url;
        if same(self.current()) {
            return Ok(self);
        }
        if let Some(before) = self.generations.iter().rposition(same) {
            return Ok(Self { current: before, ..self });
        }
        if self.generations.len() >= Self::GENERATIONS_MAX {
            return Err(CrlSchemeError::TooMany);
        }
        let next = self.generations.last().and_then(CrlGeneration::end);
        let next = next.filter(|next| next.checked_add(shards).is_some());
        let id = CrlGenerationId(next.ok_or(CrlSchemeError::TooManyShards(shards))?);
        self.current = self.generations.len();
        self.generations.push(CrlGeneration { id, shards, status_url: status_url.to_owned(), since: Some(since) });
        Ok(self)
    }

    /// All generations, in the order of their numbers.
    pub fn generations(&self) -> &[CrlGeneration] {
        &self.generations
    }

    /// That of new certificates.
    pub fn current(&self) -> &CrlGeneration {
        &self.generations[self.current]
    }

    /// The shards of all generations, in the order of their numbers.
    pub fn shards(&self) -> impl Iterator<Item = CrlShard> {
        self.generations.iter().flat_map(CrlGeneration::all)
    }

    /// The generation of this number.
    pub fn generation(&self, id: CrlGenerationId) -> Option<&CrlGeneration> {
        self.generations.iter().find(|one| one.id == id)
    }

    fn generation_with(&self, shard: u16) -> Option<&CrlGeneration> {
        let behind = self.generations.partition_point(|one| one.id.0 <= shard);
        let last = self.generations.get(behind.checked_sub(1)?)?;
        last.end().is_some_and(|end| shard < end).then_some(last)
    }

    /// The shard of this number; `None`: no generation has it.
    pub fn shard(&self, number: u16) -> Option<CrlShard> {
        let one = self.generation_with(number)?;
        Some(CrlShard { number, generation: one.id, shards: one.shards })
    }

    /// The shard that a serial is in which was allocated in this generation, if it is revoked; `None`: there is no such
    /// generation.
    pub fn shard_of(&self, generation: CrlGenerationId, serial: Serial) -> Option<CrlShard> {
        Some(self.generation(generation)?.shard_of(serial))
    }

    /// The URL of a shard: in cRLDistributionPoints of its certificates (RFC 5280 §4.2.1.13), and, byte for byte the
    /// same, in issuingDistributionPoint of its CRLs (§5.2.5). `None`: no generation has the shard.
    pub fn url(&self, issuer: &Sha256, shard: u16) -> Option<String> {
        Some(format!("{}{}", self.generation_with(shard)?.status_url, urls::crl(issuer, shard)))
    }

    /// The URL in a certificate with this serial that was allocated in this generation.
    pub fn url_of(&self, issuer: &Sha256, generation: CrlGenerationId, serial: Serial) -> Option<String> {
        self.url(issuer, self.shard_of(generation, serial)?.number)
    }

    /// The generation of a certificate with this serial that says this URL; `None`: none of them has such.
    pub fn generation_at(&self, issuer: &Sha256, serial: Serial, url: &str) -> Option<CrlGenerationId> {
        let says = |one: &&CrlGeneration| self.url_of(issuer, one.id, serial).as_deref() == Some(url);
        self.generations.iter().find(says).map(|one| one.id)
    }

    /// All that stands around the entries of such a CRL. `None`: no generation has its shard.
    pub fn outline(&self, issuer: &Issuer, outlined: &CrlOutlined) -> Option<CrlOutline> {
        let CrlOutlined { shard, number, this_update, next_update, entries, entry_octets } = *outlined;
        let distribution_point = self.url(&issuer.id, shard)?;
        let fields = CrlFields {
            issuer: issuer.certificate.subject(),
            issuer_key_identifier: issuer.certificate.public_key().key_identifier(),
            signature_algorithm: issuer.signature_algorithm,
            number,
            this_update,
            next_update,
            distribution_point: Some(&distribution_point),
        };
        Some(CrlOutline::build(&fields, entries, entry_octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "http://a.example";
    const B: &str = "http://b.example";
    const AT: Timestamp = Timestamp::from_millis(1);

    fn numbers(scheme: &CrlScheme) -> Vec<(u16, u16, &str)> {
        scheme.generations().iter().map(|one| (one.id.0, one.shards, one.status_url.as_str())).collect()
    }

    #[test]
    fn shards_of_a_new_generation_have_numbers_and_urls_of_their_own() {
        let scheme = CrlScheme::new(2, A.to_owned()).changed_to(5, A, AT).unwrap().changed_to(5, B, AT).unwrap();
        assert_eq!(numbers(&scheme), [(0, 2, A), (2, 5, A), (7, 5, B)]);
        let issuer = Sha256::of(b"issuer");
        let mut urls: Vec<String> = (0..12).map(|shard| scheme.url(&issuer, shard).unwrap()).collect();
        assert_eq!(scheme.shards().map(|shard| shard.number).collect::<Vec<_>>(), (0..12).collect::<Vec<_>>());
        assert!(urls[6].starts_with(A) && urls[7].starts_with(B), "{urls:?}");
        urls.sort();
        urls.dedup();
        assert_eq!(urls.len(), 12, "no URL is of two shards");
        assert_eq!((scheme.shard(12), scheme.url(&issuer, 12)), (None, None));
    }

    #[test]
    fn a_serial_stays_in_the_shard_of_its_generation() {
        let (before, serial) = (CrlScheme::new(2, A.to_owned()), Serial::from_random([3; 16]));
        let after = before.clone().changed_to(5, B, AT).unwrap();
        let issuer = Sha256::of(b"issuer");
        for scheme in [&before, &after] {
            let url = scheme.url_of(&issuer, CrlGenerationId(0), serial).unwrap();
            assert_eq!(scheme.generation_at(&issuer, serial, &url), Some(CrlGenerationId(0)));
        }
        let url = after.url_of(&issuer, CrlGenerationId(2), serial).unwrap();
        assert_eq!(after.generation_at(&issuer, serial, &url), Some(CrlGenerationId(2)));
        assert_eq!(before.generation_at(&issuer, serial, &url), None);
        assert_eq!(after.generation_at(&issuer, serial, &format!("{url}?")), None);
    }

    #[test]
    fn going_back_takes_the_generation_that_was() {
        let scheme = CrlScheme::new(2, A.to_owned()).changed_to(5, B, AT).unwrap();
        let back = scheme.clone().changed_to(2, A, AT).unwrap();
        assert_eq!((back.current().id, back.generations()), (CrlGenerationId(0), scheme.generations()));
        assert_eq!(back.changed_to(5, B, AT).unwrap(), scheme);
    }

    #[test]
    fn changes_come_to_an_end() {
        let mut scheme = CrlScheme::new(1, A.to_owned());
        for shards in 2..=u16::try_from(CrlScheme::GENERATIONS_MAX).unwrap() {
            scheme = scheme.changed_to(shards, A, AT).unwrap();
        }
        assert_eq!(scheme.changed_to(999, A, AT), Err(CrlSchemeError::TooMany));
        let full = CrlScheme::new(65_000, A.to_owned()).changed_to(536, A, AT);
        assert_eq!(full, Err(CrlSchemeError::TooManyShards(536)));
        assert!(CrlScheme::new(65_000, A.to_owned()).changed_to(535, A, AT).is_ok());
    }

    #[test]
    fn records_that_contradict_each_other_make_no_scheme() {
        let first = CrlScheme::new(2, A.to_owned());
        let (five, six) = (first.clone().changed_to(5, A, AT).unwrap(), first.clone().changed_to(6, A, AT).unwrap());
        assert_eq!(first.clone().with(five.generations()).unwrap().generations(), five.generations());
        assert_eq!(five.clone().with(first.generations()), Ok(five.clone()));
        assert!(matches!(five.clone().with(six.generations()), Err(CrlSchemeError::Conflict { .. })));
        let gap = five.generations()[1..].to_vec();
        assert!(matches!(CrlScheme::of_generations(gap, CrlGenerationId(2)), Err(CrlSchemeError::Gap { .. })));
        assert_eq!(CrlScheme::of_generations(Vec::new(), CrlGenerationId(0)), Err(CrlSchemeError::Empty));
    }
}
