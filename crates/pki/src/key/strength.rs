//! Keys that no certificate is issued for (BR 6.1.1.3, 6.1.5, 6.1.6).

use num_bigint::BigUint;

use super::{KeyKind, PublicKey};

/// Sizes of the RSA modulus, in bits (BR 6.1.5), and the most that signatures are verified with.
const RSA_BITS_MIN: u32 = 2_048;
const RSA_BITS_MAX: u32 = 8_192;
/// BR 6.1.6.
const EXPONENT_MIN: u64 = 65_537;
/// The longest exponent that signatures are verified with.
const EXPONENT_BITS_MAX: u64 = 33;
/// BR 6.1.6 wants no factor smaller than this.
const FACTOR_MIN: u32 = 752;
/// BR 6.1.1.3 asks for 100 rounds.
const FERMAT_ROUNDS: u32 = 110;

/// A key that no certificate is issued for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakKey {
    /// Outside the sizes allowed.
    #[error("the RSA key has {0} bits; use {RSA_BITS_MIN} to {RSA_BITS_MAX}")]
    RsaSize(u32),
    /// Not a whole number of octets.
    #[error("the RSA key has {0} bits, which is no multiple of 8; use 2048, 3072 or 4096")]
    RsaSizeNotWholeOctets(u32),
    /// An even modulus.
    #[error("the RSA modulus is even, so it is no product of two large primes; make a new key")]
    EvenModulus,
    /// An even exponent.
    #[error("the RSA exponent is even; use 65537")]
    EvenExponent,
    /// An exponent below 65537.
    #[error("the RSA exponent is {0}, less than 65537; use 65537")]
    SmallExponent(u64),
    /// An exponent that is too long.
    #[error("the RSA exponent has {0} bits, more than {EXPONENT_BITS_MAX}; use 65537")]
    LargeExponent(u64),
    /// A modulus with a small prime factor.
    #[error("the RSA modulus can be divided by {0}; make a new key with other software")]
    SmallFactor(u32),
    /// The form of keys made by the flawed library of CVE-2017-15361.
    #[error("the RSA modulus has the form of the keys of CVE-2017-15361 (ROCA); make a new key with other software")]
    Roca,
    /// Prime factors so close that Fermat's method finds them.
    #[error("the prime factors of the RSA modulus are too close to each other; make a new key with other software")]
    CloseFactors,
}

pub(super) fn check(key: &PublicKey) -> Result<(), WeakKey> {
    check_size(key)?;
    match key.rsa_components() {
        Some((modulus, _)) => check_factors(&BigUint::from_bytes_be(modulus)),
        None => Ok(()),
    }
}

pub(super) fn check_size(key: &PublicKey) -> Result<(), WeakKey> {
    match key.kind() {
        KeyKind::P256 | KeyKind::P384 | KeyKind::P521 | KeyKind::Ed25519 => Ok(()),
        KeyKind::Rsa { bits } => {
            let (modulus, exponent) = key.rsa_components().unwrap_or_default();
            check_rsa_size(bits, modulus, exponent)
        }
    }
}

fn check_rsa_size(bits: u32, modulus: &[u8], exponent: &[u8]) -> Result<(), WeakKey> {
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        return Err(WeakKey::RsaSize(bits));
    }
    if !bits.is_multiple_of(8) {
        return Err(WeakKey::RsaSizeNotWholeOctets(bits));
    }
    if modulus.last().is_none_or(|last| last % 2 == 0) {
        return Err(WeakKey::EvenModulus);
    }
    let exponent = BigUint::from_bytes_be(exponent);
    let Ok(small) = u64::try_from(&exponent) else {
        return Err(WeakKey::LargeExponent(exponent.bits()));
    };
    if small % 2 == 0 {
        return Err(WeakKey::EvenExponent);
    }
    if small < EXPONENT_MIN {
        return Err(WeakKey::SmallExponent(small));
    }
    if exponent.bits() > EXPONENT_BITS_MAX {
        return Err(WeakKey::LargeExponent(exponent.bits()));
    }
    Ok(())
}

fn check_factors(modulus: &BigUint) -> Result<(), WeakKey> {
    let remainders = odd_prime_remainders(modulus);
    if let Some((prime, _)) = remainders.iter().find(|(_, remainder)| *remainder == 0) {
        return Err(WeakKey::SmallFactor(*prime));
    }
    if has_roca_form(&remainders) {
        return Err(WeakKey::Roca);
    }
    if has_close_factors(modulus) {
        return Err(WeakKey::CloseFactors);
    }
    Ok(())
}

/// The modulus by each odd prime below [`FACTOR_MIN`]. One long division serves as many primes as have a product
/// that fits into 32 bits.
fn odd_prime_remainders(modulus: &BigUint) -> Vec<(u32, u32)> {
    let mut remainders = Vec::with_capacity(132);
    let mut group: Vec<u32> = Vec::with_capacity(8);
    let mut product: u32 = 1;
    let mut divide = |group: &mut Vec<u32>, product: u32| {
        let remainder = u32::try_from(modulus % product).unwrap_or(0);
        remainders.extend(group.drain(..).map(|prime| (prime, remainder % prime)));
    };
    let is_prime = |number: &u32| {
        let mut divisors = (3..*number).step_by(2).take_while(|divisor| divisor * divisor <= *number);
        !divisors.any(|divisor| number.is_multiple_of(divisor))
    };
    for prime in (3..FACTOR_MIN).step_by(2).filter(is_prime) {
        match product.checked_mul(prime) {
            Some(larger) => product = larger,
            None => {
                divide(&mut group, product);
                product = prime;
            }
        }
        group.push(prime);
    }
    divide(&mut group, product);
    remainders
}

/// The flawed library made primes k·M + (65537^a mod M) with M a product of the first primes, so the modulus is a
/// power of 65537 to each of these (Nemec et al., "The Return of Coppersmith's Attack", CCS 2017, §3). The primes
/// up to 167 divide M for all its key sizes; a chance match has a probability below 2^-27.
fn has_roca_form(remainders: &[(u32, u32)]) -> bool {
    const LARGEST_PRIME: u32 = 167;
    remainders.iter().take_while(|(prime, _)| *prime <= LARGEST_PRIME).all(|&(prime, remainder)| {
        let generator = 65_537 % prime;
        let mut power = 1;
        loop {
            if power == remainder {
                return true;
            }
            power = power * generator % prime;
            if power == 1 {
                return false;
            }
        }
    })
}

/// Fermat's method: n = a² − b² with a just above √n if the factors are close.
fn has_close_factors(modulus: &BigUint) -> bool {
    let mut a = modulus.sqrt();
    if &a * &a < *modulus {
        a += 1u32;
    }
    let mut b_squared = &a * &a - modulus;
    for _ in 0..FERMAT_ROUNDS {
        if is_square(&b_squared) {
            return true;
        }
        b_squared += &a * 2u32 + 1u32;
        a += 1u32;
    }
    false
}

fn is_square(number: &BigUint) -> bool {
    // Squares leave 12 of 64 and 336 of 45,045 possible remainders: nearly all others are known without a root.
    let low = number.iter_u32_digits().next().unwrap_or(0) % 64;
    if !(0..32).any(|root: u32| root * root % 64 == low) {
        return false;
    }
    let remainder = u32::try_from(number % 45_045u32).unwrap_or(0);
    if [63, 65, 11].iter().any(|&divisor| {
        let wanted = remainder % divisor;
        !(0..=divisor / 2).any(|root| root * root % divisor == wanted)
    }) {
        return false;
    }
    let root = number.sqrt();
    &root * &root == *number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_are_all_there() {
        let remainders = odd_prime_remainders(&BigUint::from(3u32 * 751));
        assert_eq!(remainders.len(), 132);
        assert_eq!(remainders.iter().filter(|(_, remainder)| *remainder == 0).count(), 2);
        assert_eq!(remainders.last(), Some(&(751, 0)));
    }

    #[test]
    fn squares_are_recognised_and_their_neighbours_are_not() {
        for root in 1u64..2_000 {
            let square = BigUint::from(root * root);
            assert!(is_square(&square), "{root}");
            assert!(!is_square(&(square + 1u32)), "{root}");
        }
    }

    #[test]
    fn powers_of_65537_have_the_roca_form() {
        let power = BigUint::from(65_537u32).pow(77);
        assert!(has_roca_form(&odd_prime_remainders(&power)));
        assert!(!has_roca_form(&odd_prime_remainders(&(power + 2u32))));
    }
}
