//! Where Seaway may connect to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Transport;

/// What outgoing connections are allowed. Link-local addresses (where clouds keep their metadata services) and
/// addresses that are no host's are never allowed. The default allows public addresses over https and ssh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutgoingPolicy {
    /// Private ranges: RFC 1918, RFC 4193 and RFC 6598 (shared address space).
    pub private: bool,
    /// This machine itself.
    pub loopback: bool,
    /// `http://`: neither the server nor what it sends is checked.
    pub plain_http: bool,
    /// `file://`: repositories on this machine's disk.
    pub files: bool,
}

/// Why the policy forbids something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// RFC 3927, RFC 4291 and AWS' metadata address.
    #[error("is link-local, which is never allowed")]
    LinkLocal,
    /// See [`OutgoingPolicy::private`].
    #[error("is in a private range: an operator can allow private ranges in the outgoing policy")]
    Private,
    /// See [`OutgoingPolicy::loopback`].
    #[error("is this machine: an operator can allow loopback in the outgoing policy")]
    Loopback,
    /// Unspecified, multicast, broadcast, documentation, benchmarking, reserved.
    #[error("is no host's address")]
    NoHost,
    /// See [`OutgoingPolicy::plain_http`].
    #[error("http is not allowed: use https, or let an operator allow http in the outgoing policy")]
    PlainHttp,
    /// See [`OutgoingPolicy::files`].
    #[error("repositories on the local disk are not allowed: use https or ssh")]
    Files,
}

impl OutgoingPolicy {
    /// Whether an address may be connected to.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Refusal> {
        let refusal = match embedded(address) {
            IpAddr::V4(address) => self.refuses_v4(address),
            IpAddr::V6(address) => self.refuses_v6(address),
        };
        refusal.map_or(Ok(()), Err)
    }

    /// Whether a way to reach a repository may be used.
    pub fn check_transport(&self, transport: Transport) -> Result<(), Refusal> {
        match transport {
            Transport::Http if !self.plain_http => Err(Refusal::PlainHttp),
            Transport::File if !self.files => Err(Refusal::Files),
            Transport::Https | Transport::Ssh | Transport::Http | Transport::File => Ok(()),
        }
    }

    fn refuses_v4(&self, address: Ipv4Addr) -> Option<Refusal> {
        let [a, b, c, _] = address.octets();
        if address.is_link_local() {
            Some(Refusal::LinkLocal)
        } else if address.is_loopback() {
            (!self.loopback).then_some(Refusal::Loopback)
        } else if address.is_private() || (a == 100 && (64..128).contains(&b)) {
            (!self.private).then_some(Refusal::Private)
        } else if a == 0 || a >= 224 || address.is_documentation() || (a == 198 && (b & 0xfe) == 18)
            // RFC 6890: IETF protocol assignments.
            || (a == 192 && b == 0 && c == 0)
        {
            Some(Refusal::NoHost)
        } else {
            None
        }
    }

    fn refuses_v6(&self, address: Ipv6Addr) -> Option<Refusal> {
        let first = address.segments()[0];
        // AWS' metadata service lies within the unique local range, where it would pass as private.
        let aws_metadata = address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
        if address.is_unicast_link_local() || aws_metadata || (first & 0xffc0) == 0xfec0 {
            Some(Refusal::LinkLocal)
        } else if address.is_loopback() {
            (!self.loopback).then_some(Refusal::Loopback)
        } else if address.is_unique_local() {
            (!self.private).then_some(Refusal::Private)
        } else if (first & 0xe000) != 0x2000 || (first == 0x2001 && address.segments()[1] == 0xdb8) {
            // Only 2000::/3 is given out (IANA), and 2001:db8::/32 of it is for documentation.
            Some(Refusal::NoHost)
        } else {
            None
        }
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64 (RFC 6052) and 6to4 (RFC 3056).
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const EVERYTHING: OutgoingPolicy =
        OutgoingPolicy { private: true, loopback: true, plain_http: true, files: true };

    #[test]
    fn link_local_is_refused_in_every_disguise_under_every_policy() {
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "fec0::1",
            "fd00:ec2::254",
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(EVERYTHING.check_address(address), Err(Refusal::LinkLocal), "{address}");
        }
    }

    #[test]
    fn private_and_loopback_are_the_policys_choice() {
        let nothing = OutgoingPolicy::default();
        for (address, refusal) in [
            ("10.1.2.3", Refusal::Private),
            ("172.16.0.1", Refusal::Private),
            ("192.168.1.1", Refusal::Private),
            ("100.64.0.1", Refusal::Private),
            ("fc00::1", Refusal::Private),
            ("::ffff:10.0.0.1", Refusal::Private),
            ("127.0.0.1", Refusal::Loopback),
            ("127.9.9.9", Refusal::Loopback),
            ("::1", Refusal::Loopback),
            ("::ffff:127.0.0.1", Refusal::Loopback),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(nothing.check_address(address), Err(refusal), "{address}");
            assert_eq!(EVERYTHING.check_address(address), Ok(()), "{address}");
        }
        for address in ["140.82.121.3", "2606:50c0:8000::153", "100.128.0.1", "172.32.0.1"] {
            assert_eq!(nothing.check_address(address.parse().unwrap()), Ok(()), "{address}");
        }
        for address in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::", "ff02::1"]
        {
            assert_eq!(EVERYTHING.check_address(address.parse().unwrap()), Err(Refusal::NoHost), "{address}");
        }
    }

    #[test]
    fn http_and_files_are_the_policys_choice() {
        let nothing = OutgoingPolicy::default();
        assert_eq!(nothing.check_transport(Transport::Http), Err(Refusal::PlainHttp));
        assert_eq!(nothing.check_transport(Transport::File), Err(Refusal::Files));
        assert_eq!(nothing.check_transport(Transport::Https), Ok(()));
        assert_eq!(EVERYTHING.check_transport(Transport::File), Ok(()));
    }
}
