//! The cluster's names (Kubernetes DNS specification 1.1.0) over UDP and TCP.
//!
//! Answers come from the [`ServiceTable`] alone: there is no way out of the node's network, so other names do not
//! exist. Reading a query and making its answer is one pure function.

use super::{CLUSTER_DOMAIN, ServiceEntry, ServiceTable};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::time::timeout;

const A: u16 = 1;
const CNAME: u16 = 5;
const SRV: u16 = 33;
const ANY: u16 = 255;
/// Short, as in CoreDNS: endpoints come and go.
const TTL: u32 = 5;
/// Answers over UDP without and with EDNS.
const MAX_PLAIN: usize = 512;
const MAX_EDNS: usize = 1232;
const IDLE: Duration = Duration::from_secs(10);
/// So many aliases are followed: they may lead in a circle.
const MAX_ALIASES: usize = 8;

/// Answers queries until dropped.
pub(crate) async fn serve(
    datagrams: UdpSocket,
    listener: TcpListener,
    table: watch::Receiver<Arc<ServiceTable>>,
) {
    let over_udp = async {
        let mut buffer = vec![0; 4096];
        loop {
            let Ok((length, from)) = datagrams.recv_from(&mut buffer).await else {
                tokio::time::sleep(Duration::from_millis(10)).await; // An error of one peer must not spin.
                continue;
            };
            let table = table.borrow().clone();
            if let Some(answer) = answer(&buffer[..length], &table, true) {
                let _ = datagrams.send_to(&answer, from).await;
            }
        }
    };
    let over_tcp = async {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            while connections.try_join_next().is_some() {}
            if connections.len() < 256 {
                connections.spawn(converse(stream, table.clone()));
            }
        }
    };
    tokio::join!(over_udp, over_tcp);
}

async fn converse(mut stream: TcpStream, table: watch::Receiver<Arc<ServiceTable>>) {
    let mut query = Vec::new();
    while let Ok(Ok(length)) = timeout(IDLE, stream.read_u16()).await {
        query.resize(usize::from(length), 0);
        match timeout(IDLE, stream.read_exact(&mut query)).await {
            Ok(Ok(_)) => {}
            _ => return,
        }
        let table = table.borrow().clone();
        let Some(answer) = answer(&query, &table, false) else { return };
        let length = u16::try_from(answer.len()).unwrap_or(u16::MAX);
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(&answer[..usize::from(length)]);
        if stream.write_all(&framed).await.is_err() {
            return;
        }
    }
}

enum Record {
    A(Ipv4Addr),
    Cname(String),
    Srv { port: u16, target: String },
}

enum Found {
    /// The name exists; these records fit the question.
    Records(Vec<Record>),
    Nothing,
}

/// The answer to a query; `None` for what is no query.
pub(crate) fn answer(query: &[u8], table: &ServiceTable, datagram: bool) -> Option<Vec<u8>> {
    let header: [u8; 12] = query.get(..12)?.try_into().ok()?;
    let is_response = header[2] & 0x80 != 0;
    let operation = (header[2] >> 3) & 0x0f;
    let questions = u16::from_be_bytes([header[4], header[5]]);
    let additional = u16::from_be_bytes([header[10], header[11]]);
    if is_response {
        return None;
    }
    let mut reply = header[..2].to_vec();
    let recursion = header[2] & 0x01;
    let finish = |mut reply: Vec<u8>, code: u8, counts: (u16, u16), body: &[u8], truncated: bool| {
        reply.push(0x84 | recursion | if truncated { 0x02 } else { 0 });
        reply.push(0x80 | code);
        for count in [counts.0, counts.1, 0, 0] {
            reply.extend_from_slice(&count.to_be_bytes());
        }
        reply.extend_from_slice(body);
        reply
    };
    if operation != 0 {
        return Some(finish(reply, 4, (0, 0), &[], false)); // Not implemented.
    }
    let Some((name, end)) = read_name(query, 12).filter(|(_, end)| questions == 1 && query.len() >= end + 4)
    else {
        return Some(finish(reply, 1, (0, 0), &[], false)); // Format error.
    };
    let kind = u16::from_be_bytes([query[end], query[end + 1]]);
    let question = &query[12..end + 4];
    reply.truncate(2);
    let Some(records) = resolve(&name, kind, table) else {
        return Some(finish(reply, 3, (1, 0), question, false));
    };
    let mut body = question.to_vec();
    let limit = match (datagram, additional) {
        (false, _) => usize::from(u16::MAX),
        (true, 0) => MAX_PLAIN,
        (true, _) => MAX_EDNS,
    };
    let (mut count, mut truncated) = (0, false);
    for (owner, record) in &records {
        let bytes = encode(owner.as_deref(), record);
        if 12 + body.len() + bytes.len() > limit {
            truncated = true;
            break;
        }
        body.extend_from_slice(&bytes);
        count += 1;
    }
    Some(finish(reply, 0, (1, count), &body, truncated))
}

/// A name in lower case and where it ends. Names in questions are never compressed.
fn read_name(query: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        match length {
            0 => return Some((name, at)),
            64.. => return None,
            _ => {}
        }
        let label = query.get(at..at + length)?;
        at += length;
        if !name.is_empty() {
            name.push('.');
        }
        for byte in label {
            name.push(char::from(byte.to_ascii_lowercase()));
        }
        if name.len() > 255 {
            return None;
        }
    }
}

/// The records of a name, each with its owner where that is another one; `None`: there is no such name.
///
/// What an alias within the cluster leads to is told with it, as RFC 1034 (section 4.3.2) has it and CoreDNS does: the
/// resolvers in programs do not ask again.
fn resolve(name: &str, kind: u16, table: &ServiceTable) -> Option<Vec<(Option<String>, Record)>> {
    let Found::Records(records) = look_up(name, kind, table) else { return None };
    let mut all: Vec<(Option<String>, Record)> = records.into_iter().map(|record| (None, record)).collect();
    for _ in 0..MAX_ALIASES {
        let Some((_, Record::Cname(target))) = all.last() else { break };
        let target = target.trim_end_matches('.').to_ascii_lowercase();
        let Found::Records(records) = look_up(&target, kind, table) else { break };
        if kind == CNAME || records.is_empty() {
            break;
        }
        all.extend(records.into_iter().map(|record| (Some(target.clone()), record)));
    }
    Some(all)
}

fn look_up(name: &str, kind: u16, table: &ServiceTable) -> Found {
    let Some(rest) =
        name.strip_suffix(CLUSTER_DOMAIN).and_then(|n| n.strip_suffix('.').or(n.is_empty().then_some("")))
    else {
        return Found::Nothing;
    };
    let labels: Vec<&str> = if rest.is_empty() { Vec::new() } else { rest.split('.').collect() };
    let wants_address = kind == A || kind == ANY;
    match labels.as_slice() {
        [] | ["svc"] | ["pod"] => Found::Records(Vec::new()),
        [namespace, "svc"] if table.has_namespace(namespace) => Found::Records(Vec::new()),
        [address, _namespace, "pod"] => match address.replace('-', ".").parse::<Ipv4Addr>() {
            Ok(address) if wants_address => Found::Records(vec![Record::A(address)]),
            Ok(_) => Found::Records(Vec::new()),
            Err(_) => Found::Nothing,
        },
        [service, namespace, "svc"] => {
            let Some(entry) = table.get(namespace, service) else { return Found::Nothing };
            if let Some(external) = &entry.external_name {
                return Found::Records(vec![Record::Cname(external.clone())]);
            }
            let addresses = entry.addresses();
            if addresses.is_empty() {
                return Found::Nothing; // As CoreDNS: a headless service without endpoints has no name.
            }
            match kind {
                SRV => {
                    Found::Records(entry.ports.iter().flat_map(|p| services(entry, &p.name, name)).collect())
                }
                _ if wants_address => {
                    let mut ips: Vec<Ipv4Addr> = addresses.into_iter().map(|(ip, _)| ip).collect();
                    ips.dedup();
                    Found::Records(ips.into_iter().map(Record::A).collect())
                }
                _ => Found::Records(Vec::new()),
            }
        }
        [port, protocol, service, namespace, "svc"] if port.starts_with('_') && protocol.starts_with('_') => {
            let Some(entry) = table.get(namespace, service) else { return Found::Nothing };
            let wanted = entry
                .ports
                .iter()
                .find(|p| p.name == port[1..] && p.protocol.eq_ignore_ascii_case(&protocol[1..]));
            match wanted {
                Some(port) if kind == SRV || kind == ANY => {
                    let base = format!("{service}.{namespace}.svc.{CLUSTER_DOMAIN}");
                    Found::Records(services(entry, &port.name, &base))
                }
                Some(_) => Found::Records(Vec::new()),
                None => Found::Nothing,
            }
        }
        [host, service, namespace, "svc"] => {
            let Some(entry) = table.get(namespace, service).filter(|e| e.address.is_none()) else {
                return Found::Nothing;
            };
            let found: Vec<Ipv4Addr> = entry
                .addresses()
                .into_iter()
                .filter(|(ip, hostname)| hostname.map_or_else(|| dashed(*ip) == *host, |h| h == *host))
                .map(|(ip, _)| ip)
                .collect();
            match found.is_empty() {
                true => Found::Nothing,
                false if wants_address => Found::Records(found.into_iter().map(Record::A).collect()),
                false => Found::Records(Vec::new()),
            }
        }
        _ => Found::Nothing,
    }
}

/// SRV records of a port: the service itself, or the endpoints of a headless one.
fn services(entry: &ServiceEntry, port_name: &str, base: &str) -> Vec<Record> {
    let Some(port) = entry.ports.iter().find(|p| p.name == port_name) else { return Vec::new() };
    if entry.address.is_some() {
        return vec![Record::Srv { port: port.port, target: base.to_owned() }];
    }
    let hosts = entry.addresses();
    entry
        .backends(port)
        .into_iter()
        .map(|backend| {
            let hostname =
                hosts.iter().find(|(ip, _)| ip == backend.ip()).and_then(|(_, hostname)| *hostname);
            let host = hostname.map_or_else(|| dashed(*backend.ip()), str::to_owned);
            Record::Srv { port: backend.port(), target: format!("{host}.{base}") }
        })
        .collect()
}

fn dashed(address: Ipv4Addr) -> String {
    address.to_string().replace('.', "-")
}

/// One record; without an owner it is the question's name.
fn encode(owner: Option<&str>, record: &Record) -> Vec<u8> {
    let (kind, data) = match record {
        Record::A(address) => (A, address.octets().to_vec()),
        Record::Cname(name) => (CNAME, encode_name(name)),
        Record::Srv { port, target } => {
            let mut data = vec![0, 0, 0, 100];
            data.extend_from_slice(&port.to_be_bytes());
            data.extend_from_slice(&encode_name(target));
            (SRV, data)
        }
    };
    let mut bytes = owner.map_or_else(|| vec![0xc0, 12], encode_name);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&1u16.to_be_bytes());
    bytes.extend_from_slice(&TTL.to_be_bytes());
    bytes.extend_from_slice(&(data.len() as u16).to_be_bytes());
    bytes.extend_from_slice(&data);
    bytes
}

fn encode_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.trim_end_matches('.').split('.').filter(|l| !l.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(63)];
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn table() -> ServiceTable {
        let services = [
            json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": {"clusterIP": "10.96.0.7",
                "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}}),
            json!({"metadata": {"namespace": "shop", "name": "db"}, "spec": {"clusterIP": "None",
                "ports": [{"name": "sql", "port": 5432}]}}),
            json!({"metadata": {"namespace": "shop", "name": "empty"}, "spec": {"clusterIP": "None"}}),
            json!({"metadata": {"namespace": "shop", "name": "away"},
                "spec": {"type": "ExternalName", "externalName": "db.example.com"}}),
            json!({"metadata": {"namespace": "mine", "name": "web"},
                "spec": {"type": "ExternalName", "externalName": "Web.shop.svc.cluster.local"}}),
            json!({"metadata": {"namespace": "mine", "name": "again"},
                "spec": {"type": "ExternalName", "externalName": "web.mine.svc.cluster.local."}}),
            json!({"metadata": {"namespace": "mine", "name": "circle"},
                "spec": {"type": "ExternalName", "externalName": "circle.mine.svc.cluster.local"}}),
            json!({"metadata": {"namespace": "mine", "name": "gone"},
                "spec": {"type": "ExternalName", "externalName": "gone.shop.svc.cluster.local"}}),
        ];
        let slice = json!({"metadata": {"namespace": "shop", "name": "db-1",
            "labels": {"kubernetes.io/service-name": "db"}}, "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.244.0.5"], "hostname": "db-0", "conditions": {"ready": true}},
                {"addresses": ["10.244.0.6"], "hostname": "db-1", "conditions": {"ready": false}},
                {"addresses": ["10.244.0.7"], "conditions": {"ready": true}}],
            "ports": [{"name": "sql", "port": 5432}]});
        let services: Vec<_> = services.into_iter().map(|s| serde_json::from_value(s).unwrap()).collect();
        ServiceTable::new(&services, &[serde_json::from_value(slice).unwrap()])
    }

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(&encode_name(name));
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        bytes
    }

    /// Response code, and the data of each record.
    fn ask(name: &str, kind: u16) -> (u8, Vec<Vec<u8>>) {
        let reply = answer(&query(name, kind), &table(), true).unwrap();
        assert_eq!(reply[..2], [0xab, 0xcd]);
        let count = u16::from_be_bytes([reply[6], reply[7]]);
        let mut at = query(name, kind).len();
        let mut data = Vec::new();
        for _ in 0..count {
            // A pointer to the question's name, or the name of what that is an alias of.
            at = if reply[at] == 0xc0 { at + 2 } else { read_name(&reply, at).unwrap().1 };
            let length = usize::from(u16::from_be_bytes([reply[at + 8], reply[at + 9]]));
            data.push(reply[at + 10..at + 10 + length].to_vec());
            at += 10 + length;
        }
        (reply[3] & 0x0f, data)
    }

    #[test]
    fn services_pods_and_headless_endpoints_have_names() {
        assert_eq!(ask("web.shop.svc.cluster.local", A), (0, vec![vec![10, 96, 0, 7]]));
        assert_eq!(ask("WEB.Shop.svc.cluster.local", A).1.len(), 1);
        assert_eq!(ask("db.shop.svc.cluster.local", A).1, [vec![10, 244, 0, 5], vec![10, 244, 0, 7]]);
        assert_eq!(ask("db-0.db.shop.svc.cluster.local", A).1, [vec![10, 244, 0, 5]]);
        assert_eq!(ask("10-244-0-7.db.shop.svc.cluster.local", A).1, [vec![10, 244, 0, 7]]);
        assert_eq!(ask("10-244-0-9.shop.pod.cluster.local", A).1, [vec![10, 244, 0, 9]]);
        assert_eq!(ask("away.shop.svc.cluster.local", A).1, [encode_name("db.example.com")]);
        assert_eq!(ask("_sql._tcp.db.shop.svc.cluster.local", SRV).1.len(), 2);
        assert_eq!(ask("_http._tcp.web.shop.svc.cluster.local", SRV).1[0][4..6], [0, 80]);
    }

    #[test]
    fn an_alias_is_told_with_what_it_leads_to() {
        let address = vec![10, 96, 0, 7];
        let web = encode_name("web.mine.svc.cluster.local");
        let shop = encode_name("Web.shop.svc.cluster.local");
        assert_eq!(ask("web.mine.svc.cluster.local", A), (0, vec![shop.clone(), address.clone()]));
        assert_eq!(ask("again.mine.svc.cluster.local", A), (0, vec![web.clone(), shop, address]));
        assert_eq!(ask("again.mine.svc.cluster.local", CNAME), (0, vec![web]));
        // What does not exist, or in a circle alone, has no address.
        assert_eq!(ask("gone.mine.svc.cluster.local", A).1.len(), 1);
        assert!(ask("circle.mine.svc.cluster.local", A).1.len() <= MAX_ALIASES + 1);
        // The owner of the second record is the name that the first one gives.
        let reply = answer(&query("web.mine.svc.cluster.local", A), &table(), true).unwrap();
        let second = query("web.mine.svc.cluster.local", A).len() + 12 + 28;
        assert_eq!(read_name(&reply, second).unwrap().0, "web.shop.svc.cluster.local");
    }

    #[test]
    fn an_existing_name_without_such_a_record_is_empty_and_a_missing_one_does_not_exist() {
        assert_eq!(ask("web.shop.svc.cluster.local", 28), (0, vec![]));
        for missing in [
            "web.other.svc.cluster.local",
            "db-1.db.shop.svc.cluster.local",
            "empty.shop.svc.cluster.local",
            "example.com",
            "x.cluster.local",
        ] {
            assert_eq!(ask(missing, A), (3, vec![]), "{missing}");
        }
    }

    #[test]
    fn a_long_answer_is_cut_over_udp_and_whole_over_tcp() {
        let endpoints: Vec<_> = (0..100).map(|i| json!({"addresses": [format!("10.244.1.{i}")]})).collect();
        let service = json!({"metadata": {"namespace": "n", "name": "s"}, "spec": {"clusterIP": "None"}});
        let slice = json!({"metadata": {"namespace": "n", "labels": {"kubernetes.io/service-name": "s"}},
            "addressType": "IPv4", "endpoints": endpoints});
        let table = ServiceTable::new(
            &[serde_json::from_value(service).unwrap()],
            &[serde_json::from_value(slice).unwrap()],
        );
        let query = query("s.n.svc.cluster.local", A);
        let udp = answer(&query, &table, true).unwrap();
        assert!(udp.len() <= 512 && udp[2] & 0x02 != 0);
        let tcp = answer(&query, &table, false).unwrap();
        assert_eq!((tcp[2] & 0x02, u16::from_be_bytes([tcp[6], tcp[7]])), (0, 100));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let table = table();
        let good = query("web.shop.svc.cluster.local", A);
        for cut in 0..good.len() {
            answer(&good[..cut], &table, true);
        }
        let mut state = 7u32;
        for length in 0..2000usize {
            let bytes: Vec<u8> = (0..length % 80)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            answer(&bytes, &table, true);
        }
    }
}
