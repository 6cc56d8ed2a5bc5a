//! The few rtnetlink messages that a node's network needs: bridge, veth, addresses, routes (rtnetlink(7)).

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

const VETH_INFO_PEER: u16 = 1;
const UP: u32 = libc::IFF_UP as u32;

/// Routes and links of the network namespace in which it was opened.
pub(crate) struct Netlink(OwnedFd);

impl Netlink {
    pub(crate) fn open() -> nix::Result<Self> {
        let kind = (AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC);
        Ok(Self(socket(kind.0, kind.1, kind.2, SockProtocol::NetlinkRoute)?))
    }

    /// A bridge that answers for an address. Its hardware address is given: else the kernel takes the lowest of its
    /// ports', and whenever a pod comes or goes the others' neighbour tables are wrong for seconds.
    pub(crate) fn add_bridge(&self, name: &str, address: Ipv4Addr) -> nix::Result<()> {
        let mut message = Message::new(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        message.link(0, UP);
        message.text(libc::IFLA_IFNAME, name);
        message.attribute(libc::IFLA_ADDRESS, &hardware_address(address));
        message.nested(libc::IFLA_LINKINFO, |m| m.text(libc::IFLA_INFO_KIND, "bridge"));
        self.run(message)
    }

    /// A pair of links: `name` at the bridge, `peer` in the network namespace of a process.
    /// The peer's hardware address follows from its IP address, so that a reused address leads to the new pod at once.
    pub(crate) fn add_veth(
        &self,
        name: &str,
        bridge: u32,
        (peer, address): (&str, Ipv4Addr),
        pid: i32,
    ) -> nix::Result<()> {
        let mut message = Message::new(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        message.link(0, UP);
        message.text(libc::IFLA_IFNAME, name);
        message.number(libc::IFLA_MASTER, bridge);
        message.nested(libc::IFLA_LINKINFO, |m| {
            m.text(libc::IFLA_INFO_KIND, "veth");
            m.nested(libc::IFLA_INFO_DATA, |m| {
                m.nested(VETH_INFO_PEER, |m| {
                    m.link(0, 0);
                    m.text(libc::IFLA_IFNAME, peer);
                    m.attribute(libc::IFLA_ADDRESS, &hardware_address(address));
                    m.number(libc::IFLA_NET_NS_PID, pid.cast_unsigned());
                });
            });
        });
        self.run(message)
    }

    pub(crate) fn up(&self, index: u32) -> nix::Result<()> {
        let mut message = Message::new(libc::RTM_NEWLINK, 0);
        message.link(index, UP);
        self.run(message)
    }

    pub(crate) fn add_address(&self, index: u32, address: Ipv4Addr, prefix: u8) -> nix::Result<()> {
        let mut message = Message::new(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_REPLACE);
        message.bytes(&[libc::AF_INET as u8, prefix, 0, 0]);
        message.bytes(&index.to_ne_bytes());
        message.attribute(libc::IFA_LOCAL, &address.octets());
        message.attribute(libc::IFA_ADDRESS, &address.octets());
        let broadcast = u32::from(address) | (u32::MAX >> prefix.min(31));
        message.attribute(libc::IFA_BROADCAST, &broadcast.to_be_bytes());
        self.run(message)
    }

    pub(crate) fn add_default_route(&self, index: u32, gateway: Ipv4Addr) -> nix::Result<()> {
        let mut message = Message::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE);
        message.route(0, libc::RT_TABLE_MAIN, libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST);
        message.attribute(libc::RTA_GATEWAY, &gateway.octets());
        message.number(libc::RTA_OIF, index);
        self.run(message)
    }

    /// Makes every address of a prefix local, so that a socket can be bound to any of them.
    pub(crate) fn add_local_route(&self, index: u32, network: Ipv4Addr, prefix: u8) -> nix::Result<()> {
        let mut message = Message::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE);
        message.route(prefix, libc::RT_TABLE_LOCAL, libc::RT_SCOPE_HOST, libc::RTN_LOCAL);
        message.attribute(libc::RTA_DST, &network.octets());
        message.number(libc::RTA_OIF, index);
        self.run(message)
    }

    /// Sends a message and waits for the kernel's verdict.
    fn run(&self, message: Message) -> nix::Result<()> {
        send(self.0.as_raw_fd(), &message.finish(), MsgFlags::empty())?;
        let mut buffer = [0u8; 8192];
        let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        // nlmsghdr is 16 bytes; an nlmsgerr begins with a negative errno.
        let Some(code) = buffer[..length].get(16..20).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes)
        else {
            return Err(Errno::EPROTO);
        };
        match code {
            0 => Ok(()),
            error => Err(Errno::from_raw(-error)),
        }
    }
}

/// The index of a link in the caller's network namespace.
pub(crate) fn link_index(name: &str) -> nix::Result<u32> {
    nix::net::if_::if_nametoindex(name)
}

/// A locally administered hardware address for an IP address.
fn hardware_address(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x00, a, b, c, d]
}

struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: i32) -> Self {
        let flags = (flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        let mut message = Self(Vec::with_capacity(256));
        message.bytes(&0u32.to_ne_bytes());
        message.bytes(&kind.to_ne_bytes());
        message.bytes(&flags.to_ne_bytes());
        message.bytes(&1u32.to_ne_bytes());
        message.bytes(&0u32.to_ne_bytes());
        message
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// An `ifinfomsg` for a link by index (0: a new one).
    fn link(&mut self, index: u32, flags: u32) {
        self.bytes(&[0; 4]);
        self.bytes(&index.to_ne_bytes());
        self.bytes(&flags.to_ne_bytes());
        self.bytes(&flags.to_ne_bytes());
    }

    /// An `rtmsg`.
    fn route(&mut self, prefix: u8, table: u8, scope: u8, kind: u8) {
        self.bytes(&[libc::AF_INET as u8, prefix, 0, 0, table, libc::RTPROT_BOOT, scope, kind]);
        self.bytes(&0u32.to_ne_bytes());
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = (4 + value.len()) as u16;
        self.bytes(&length.to_ne_bytes());
        self.bytes(&kind.to_ne_bytes());
        self.bytes(value);
        self.align();
    }

    fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes);
    }

    fn number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    fn nested(&mut self, kind: u16, content: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.bytes(&[0; 2]);
        self.bytes(&kind.to_ne_bytes());
        content(self);
        let length = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    fn align(&mut self) {
        while !self.0.len().is_multiple_of(4) {
            self.0.push(0);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}
