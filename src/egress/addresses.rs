//! Which addresses are public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Says whether anybody on the Internet could be meant by `ip`.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match plain(ip) {
        IpAddr::V4(ip) => !V4_NOT_PUBLIC.iter().any(|net| net.has(ip)),
        IpAddr::V6(ip) => !V6_NOT_PUBLIC.iter().any(|net| net.has(ip)),
    }
}

/// Returns the IPv4 address that stands inside an IPv6 one (`::ffff:0:0/96`), or the address itself.
pub(super) fn plain(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

struct V4(u8, u8, u8, u8, u32);

impl V4 {
    fn has(&self, ip: Ipv4Addr) -> bool {
        let Self(a, b, c, d, length) = *self;
        let other = u32::from(Ipv4Addr::new(a, b, c, d));
        (u32::from(ip) ^ other).leading_zeros() >= length
    }
}

struct V6([u16; 4], u32);

impl V6 {
    fn has(&self, ip: Ipv6Addr) -> bool {
        let [a, b, c, d] = self.0;
        let other = u128::from(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0));
        (u128::from(ip) ^ other).leading_zeros() >= self.1
    }
}

/// What IANA reserves, and what is only ever local.
const V4_NOT_PUBLIC: [V4; 16] = [
    V4(0, 0, 0, 0, 8),
    V4(10, 0, 0, 0, 8),
    V4(100, 64, 0, 0, 10),
    V4(127, 0, 0, 0, 8),
    V4(169, 254, 0, 0, 16),
    V4(172, 16, 0, 0, 12),
    V4(192, 0, 0, 0, 24),
    V4(192, 0, 2, 0, 24),
    V4(192, 31, 196, 0, 24),
    V4(192, 88, 99, 0, 24),
    V4(192, 168, 0, 0, 16),
    V4(198, 18, 0, 0, 15),
    V4(198, 51, 100, 0, 24),
    V4(203, 0, 113, 0, 24),
    V4(224, 0, 0, 0, 4),
    V4(240, 0, 0, 0, 4),
];

/// The first covers the unspecified and the loopback address and both blocks that hold an IPv4 one for translation
/// (`64:ff9b::/96`, `64:ff9b:1::/48`).
const V6_NOT_PUBLIC: [V6; 11] = [
    V6([0, 0, 0, 0], 8),
    V6([0x0100, 0, 0, 0], 64),
    V6([0x2001, 0, 0, 0], 23),
    V6([0x2001, 0xdb8, 0, 0], 32),
    V6([0x2002, 0, 0, 0], 16),
    V6([0x3fff, 0, 0, 0], 20),
    V6([0x5f00, 0, 0, 0], 16),
    V6([0xfc00, 0, 0, 0], 7),
    V6([0xfe80, 0, 0, 0], 10),
    V6([0xfec0, 0, 0, 0], 10),
    V6([0xff00, 0, 0, 0], 8),
];
