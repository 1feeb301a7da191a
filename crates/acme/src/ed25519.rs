//! Which Ed25519 public keys are acceptable (RFC 8032 §5.1.3).

/// Refuses the points of small order, for which anybody can make signatures, and every second spelling of a point.
/// Whether the rest are on the curve shows when a signature is verified.
pub(crate) fn is_acceptable(key: &[u8]) -> bool {
    let mut y = key.to_vec();
    if let Some(last) = y.last_mut() {
        // The highest bit is the sign of x.
        *last &= 0x7f;
    }
    let is_canonical = y.iter().rev().cmp(PRIME.iter().rev()).is_lt();
    is_canonical && !SMALL_ORDER.iter().any(|small| small == y.as_slice())
}

/// 2^255 - 19, little-endian.
const PRIME: [u8; 32] = {
    let mut prime = [0xff; 32];
    prime[0] = 0xed;
    prime[31] = 0x7f;
    prime
};

/// The y coordinates of the points whose order divides 8, little-endian: 0, 1, -1 and the two of order 8.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = PRIME;
        minus_one[0] -= 1;
        minus_one
    },
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];
