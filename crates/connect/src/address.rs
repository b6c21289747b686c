//! What kind of place an IP address is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of place an address is, by the ranges of the IANA registries of special-purpose addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AddressKind {
    /// Anybody's: the open internet.
    Public,
    /// Networks of one's own: RFC 1918, carrier-grade NAT, unique local.
    Private,
    /// This machine.
    Loopback,
    /// This wire, where clouds keep the metadata service.
    LinkLocal,
    /// Nothing a client may want: multicast, reserved, documentation, translation prefixes, cloud control addresses.
    Special,
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Special => "special-purpose",
        })
    }
}

impl AddressKind {
    /// The kind of an address. One of IPv4 that is written as IPv6 (`::ffff:10.0.0.1`), or that stands behind the NAT64 prefix
    /// `64:ff9b::/96`, is judged as what it is in IPv4.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => of_v4(v4),
            IpAddr::V6(v6) => of_v6(v6),
        }
    }
}

fn of_v4(address: Ipv4Addr) -> AddressKind {
    match address.octets() {
        [127, ..] => AddressKind::Loopback,
        [169, 254, ..] => AddressKind::LinkLocal,
        [10, ..] | [192, 168, ..] => AddressKind::Private,
        [172, b, ..] if (16..32).contains(&b) => AddressKind::Private,
        [100, b, ..] if (64..128).contains(&b) => AddressKind::Private,
        // A control address of Azure's hosts, though it looks public.
        [168, 63, 129, 16] => AddressKind::Special,
        [0, ..] | [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => AddressKind::Special,
        [224..=255, ..] => AddressKind::Special,
        _ => AddressKind::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> AddressKind {
    let segments = address.segments();
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressKind::Loopback,
        [first, ..] if first & 0xffc0 == 0xfe80 => AddressKind::LinkLocal,
        [first, ..] if first & 0xfe00 == 0xfc00 => AddressKind::Private,
        // Teredo and 6to4 carry a v4 address, documentation carries nothing.
        [0x2001, 0 | 0xdb8, ..] | [0x2002, ..] => AddressKind::Special,
        // NAT64: what counts is where the translator sends it.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => of_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))),
        [first, ..] if first & 0xe000 == 0x2000 => AddressKind::Public,
        _ => AddressKind::Special,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(address: &str) -> AddressKind {
        AddressKind::of(address.parse().unwrap())
    }

    #[test]
    fn every_range_that_is_not_the_internet_is_told_apart_at_its_edges() {
        for (address, expected) in [
            ("9.255.255.255", AddressKind::Public),
            ("10.0.0.0", AddressKind::Private),
            ("10.255.255.255", AddressKind::Private),
            ("11.0.0.0", AddressKind::Public),
            ("172.15.255.255", AddressKind::Public),
            ("172.16.0.0", AddressKind::Private),
            ("172.31.255.255", AddressKind::Private),
            ("172.32.0.0", AddressKind::Public),
            ("192.168.0.1", AddressKind::Private),
            ("192.169.0.1", AddressKind::Public),
            ("100.64.0.0", AddressKind::Private),
            ("100.128.0.0", AddressKind::Public),
            ("127.0.0.1", AddressKind::Loopback),
            ("127.255.255.255", AddressKind::Loopback),
            ("169.254.169.254", AddressKind::LinkLocal),
            ("168.63.129.16", AddressKind::Special),
            ("0.0.0.0", AddressKind::Special),
            ("192.0.0.192", AddressKind::Special),
            ("198.19.0.1", AddressKind::Special),
            ("203.0.113.9", AddressKind::Special),
            ("223.255.255.255", AddressKind::Public),
            ("224.0.0.1", AddressKind::Special),
            ("255.255.255.255", AddressKind::Special),
            ("::", AddressKind::Special),
            ("::1", AddressKind::Loopback),
            ("fe80::1", AddressKind::LinkLocal),
            ("fd00:ec2::254", AddressKind::Private),
            ("2606:4700::1", AddressKind::Public),
            ("2001:db8::1", AddressKind::Special),
            ("ff02::1", AddressKind::Special),
        ] {
            assert_eq!(kind(address), expected, "{address}");
        }
    }

    #[test]
    fn a_v4_address_in_v6_clothes_is_seen_through() {
        assert_eq!(kind("::ffff:169.254.169.254"), AddressKind::LinkLocal);
        assert_eq!(kind("::ffff:10.1.2.3"), AddressKind::Private);
        assert_eq!(kind("64:ff9b::a01:203"), AddressKind::Private);
        assert_eq!(kind("64:ff9b::808:808"), AddressKind::Public);
        assert_eq!(kind("2002:a01:203::1"), AddressKind::Special);
        assert_eq!(kind("::127.0.0.1"), AddressKind::Special);
    }
}
