//! URLs, addresses and networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use super::super::super::url::Url;
use super::super::Outcome;
use super::super::value::Value;
use super::fail;
use crate::names::{parse_cidr, same_network};

/// Calls a function; `None` for one that is not here.
pub(super) fn call<'a>(name: &str, arguments: &[Value<'a>]) -> Outcome<Option<Value<'a>>> {
    Ok(match (name, arguments) {
        ("url", [Value::Text(text)]) => match Url::parse(text) {
            Some(url) => Some(Value::Url(Rc::new(url))),
            None => {
                return fail(format!(
                    "URL parse error during conversion from string: parse {text:?}: invalid URI for request"
                ));
            }
        },
        ("isURL", [Value::Text(text)]) => Some(Value::Bool(Url::parse(text).is_some())),
        (_, [Value::Url(url)]) => part(name, url),
        ("ip", [Value::Text(text)]) => match address(text) {
            Some(address) => Some(Value::Ip(address)),
            None => return fail(format!("IP Address {text:?} parse error during conversion from string")),
        },
        ("isIP", [Value::Text(text)]) => Some(Value::Bool(address(text).is_some())),
        ("ip.isCanonical", [Value::Text(text)]) => match address(text) {
            Some(address) => Some(Value::Bool(address.to_string() == **text)),
            None => return fail(format!("IP Address {text:?} parse error during conversion from string")),
        },
        (_, [Value::Ip(address)]) => property(name, *address),
        ("cidr", [Value::Text(text)]) => match network(text) {
            Some((address, bits)) => Some(Value::Cidr(address, bits)),
            None => {
                return fail(format!("network address parse error during conversion from string: {text:?}"));
            }
        },
        ("isCIDR", [Value::Text(text)]) => Some(Value::Bool(network(text).is_some())),
        (_, [Value::Cidr(..), ..]) => of_network(name, arguments)?,
        _ => None,
    })
}

/// Addresses in zones and IPv4 addresses written as IPv6 are refused.
fn address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => None,
        _ => Some(address),
    }
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (found, bits) = parse_cidr(text)?;
    address(&found.to_string())?;
    Some((found, bits))
}

fn part<'a>(name: &str, url: &Url) -> Option<Value<'a>> {
    Some(match name {
        "getScheme" => Value::text(url.scheme()),
        "getHost" => Value::text(url.host()),
        "getHostname" => Value::text(url.hostname()),
        "getPort" => Value::text(url.port()),
        "getEscapedPath" => Value::text(url.escaped_path()),
        "getQuery" => {
            let entries = url
                .query()
                .into_iter()
                .map(|(name, values)| {
                    (Value::text(name), Value::list(values.iter().map(Value::text).collect()))
                })
                .collect();
            Value::Map(Rc::new(entries))
        }
        _ => return None,
    })
}

fn property<'a>(name: &str, address: IpAddr) -> Option<Value<'a>> {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    Some(match name {
        "family" => Value::Int(if address.is_ipv4() { 4 } else { 6 }),
        "isUnspecified" => Value::Bool(address.is_unspecified()),
        "isLoopback" => Value::Bool(address.is_loopback()),
        "isLinkLocalMulticast" => Value::Bool(match address {
            IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
            IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
        }),
        "isLinkLocalUnicast" => Value::Bool(link_local),
        "isGlobalUnicast" => Value::Bool(
            !broadcast
                && !address.is_unspecified()
                && !address.is_loopback()
                && !address.is_multicast()
                && !link_local,
        ),
        _ => return None,
    })
}

fn of_network<'a>(name: &str, arguments: &[Value<'a>]) -> Outcome<Option<Value<'a>>> {
    let [Value::Cidr(own, bits), rest @ ..] = arguments else {
        return Ok(None);
    };
    let has = |other: IpAddr, other_bits: u8| {
        Value::Bool(
            own.is_ipv4() == other.is_ipv4() && other_bits >= *bits && same_network(*own, other, *bits),
        )
    };
    Ok(match (name, rest) {
        ("cidr.ip", []) => Some(Value::Ip(*own)),
        ("prefixLength", []) => Some(Value::Int((*bits).into())),
        ("masked", []) => Some(Value::Cidr(masked(*own, *bits), *bits)),
        ("containsIP", [Value::Ip(other)]) => Some(has(*other, u8::MAX)),
        ("containsIP", [Value::Text(text)]) => match address(text) {
            Some(other) => Some(has(other, u8::MAX)),
            None => return fail(format!("IP Address {text:?} parse error during conversion from string")),
        },
        ("containsCIDR", [Value::Cidr(other, other_bits)]) => Some(has(*other, *other_bits)),
        ("containsCIDR", [Value::Text(text)]) => match network(text) {
            Some((other, other_bits)) => Some(has(other, other_bits)),
            None => {
                return fail(format!("network address parse error during conversion from string: {text:?}"));
            }
        },
        _ => None,
    })
}

/// The address with everything beyond the network's bits zero.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask))
        }
    }
}
