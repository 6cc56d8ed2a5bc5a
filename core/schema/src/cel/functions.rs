//! The functions that rules can call: their signatures.
//!
//! Kubernetes' libraries are described in its reference ("CEL options, language features, and libraries").

use std::collections::HashMap;
use std::sync::LazyLock;

use super::types::Type;

/// One way to call a function.
#[derive(Debug)]
pub(super) struct Overload {
    pub(super) receiver: bool,
    /// The target first, if there is one.
    pub(super) arguments: Vec<Type>,
    pub(super) result: Type,
}

/// All functions and operators, by name.
const SIGNATURES: &str = "
-- operators
_==_(A, A) bool
_!=_(A, A) bool
_+_(int, int) int
_+_(uint, uint) uint
_+_(double, double) double
_+_(string, string) string
_+_(bytes, bytes) bytes
_+_(list<A>, list<A>) list<A>
_+_(timestamp, duration) timestamp
_+_(duration, timestamp) timestamp
_+_(duration, duration) duration
_-_(int, int) int
_-_(uint, uint) uint
_-_(double, double) double
_-_(timestamp, timestamp) duration
_-_(timestamp, duration) timestamp
_-_(duration, duration) duration
_*_(int, int) int
_*_(uint, uint) uint
_*_(double, double) double
_/_(int, int) int
_/_(uint, uint) uint
_/_(double, double) double
_%_(int, int) int
_%_(uint, uint) uint
-_(int) int
-_(double) double
!_(bool) bool
@in(A, list<A>) bool
@in(A, map<A, B>) bool
-- the standard library
size(string) int
size(bytes) int
size(list<A>) int
size(map<A, B>) int
string.size() int
bytes.size() int
list<A>.size() int
map<A, B>.size() int
string.contains(string) bool
string.startsWith(string) bool
string.endsWith(string) bool
string.matches(string) bool
matches(string, string) bool
int(int) int
int(uint) int
int(double) int
int(string) int
int(timestamp) int
int(duration) int
uint(uint) uint
uint(int) uint
uint(double) uint
uint(string) uint
double(double) double
double(int) double
double(uint) double
double(string) double
string(string) string
string(bool) string
string(int) string
string(uint) string
string(double) string
string(bytes) string
string(timestamp) string
string(duration) string
string(ip) string
string(cidr) string
bytes(bytes) bytes
bytes(string) bytes
bool(bool) bool
bool(string) bool
timestamp(timestamp) timestamp
timestamp(string) timestamp
timestamp(int) timestamp
duration(duration) duration
duration(string) duration
duration(int) duration
type(A) type
dyn(A) dyn
timestamp.getFullYear() int
timestamp.getFullYear(string) int
timestamp.getMonth() int
timestamp.getMonth(string) int
timestamp.getDayOfYear() int
timestamp.getDayOfYear(string) int
timestamp.getDayOfMonth() int
timestamp.getDayOfMonth(string) int
timestamp.getDate() int
timestamp.getDate(string) int
timestamp.getDayOfWeek() int
timestamp.getDayOfWeek(string) int
timestamp.getHours() int
timestamp.getHours(string) int
timestamp.getMinutes() int
timestamp.getMinutes(string) int
timestamp.getSeconds() int
timestamp.getSeconds(string) int
timestamp.getMilliseconds() int
timestamp.getMilliseconds(string) int
duration.getHours() int
duration.getMinutes() int
duration.getSeconds() int
duration.getMilliseconds() int
-- texts
string.charAt(int) string
string.format(list<dyn>) string
string.indexOf(string) int
string.indexOf(string, int) int
string.lastIndexOf(string) int
string.lastIndexOf(string, int) int
list<string>.join() string
list<string>.join(string) string
string.lowerAscii() string
string.upperAscii() string
string.replace(string, string) string
string.replace(string, string, int) string
string.split(string) list<string>
string.split(string, int) list<string>
string.substring(int) string
string.substring(int, int) string
string.trim() string
strings.quote(string) string
string.find(string) string
string.findAll(string) list<string>
string.findAll(string, int) list<string>
-- lists
list<int>.isSorted() bool
list<uint>.isSorted() bool
list<double>.isSorted() bool
list<bool>.isSorted() bool
list<string>.isSorted() bool
list<bytes>.isSorted() bool
list<timestamp>.isSorted() bool
list<duration>.isSorted() bool
list<int>.sum() int
list<uint>.sum() uint
list<double>.sum() double
list<duration>.sum() duration
list<int>.min() int
list<uint>.min() uint
list<double>.min() double
list<bool>.min() bool
list<string>.min() string
list<bytes>.min() bytes
list<timestamp>.min() timestamp
list<duration>.min() duration
list<int>.max() int
list<uint>.max() uint
list<double>.max() double
list<bool>.max() bool
list<string>.max() string
list<bytes>.max() bytes
list<timestamp>.max() timestamp
list<duration>.max() duration
list<A>.indexOf(A) int
list<A>.lastIndexOf(A) int
sets.contains(list<A>, list<A>) bool
sets.intersects(list<A>, list<A>) bool
sets.equivalent(list<A>, list<A>) bool
-- URLs
url(string) url
isURL(string) bool
url.getScheme() string
url.getHost() string
url.getHostname() string
url.getPort() string
url.getEscapedPath() string
url.getQuery() map<string, list<string>>
-- addresses
ip(string) ip
isIP(string) bool
ip.isCanonical(string) bool
ip.family() int
ip.isUnspecified() bool
ip.isLoopback() bool
ip.isLinkLocalMulticast() bool
ip.isLinkLocalUnicast() bool
ip.isGlobalUnicast() bool
cidr(string) cidr
isCIDR(string) bool
cidr.containsIP(string) bool
cidr.containsIP(ip) bool
cidr.containsCIDR(string) bool
cidr.containsCIDR(cidr) bool
cidr.ip() ip
cidr.masked() cidr
cidr.prefixLength() int
-- quantities
quantity(string) quantity
isQuantity(string) bool
quantity.sign() int
quantity.isInteger() bool
quantity.asInteger() int
quantity.asApproximateFloat() double
quantity.add(quantity) quantity
quantity.add(int) quantity
quantity.sub(quantity) quantity
quantity.sub(int) quantity
quantity.isLessThan(quantity) bool
quantity.isGreaterThan(quantity) bool
quantity.compareTo(quantity) int
-- versions
semver(string) semver
semver(string, bool) semver
isSemver(string) bool
isSemver(string, bool) bool
semver.major() int
semver.minor() int
semver.patch() int
semver.isLessThan(semver) bool
semver.isGreaterThan(semver) bool
semver.compareTo(semver) int
-- named formats
format.dns1123Label() format
format.dns1123Subdomain() format
format.dns1035Label() format
format.qualifiedName() format
format.dns1123LabelPrefix() format
format.dns1123SubdomainPrefix() format
format.dns1035LabelPrefix() format
format.labelValue() format
format.uri() format
format.uuid() format
format.byte() format
format.date() format
format.datetime() format
format.named(string) optional<format>
format.validate(string) optional<list<string>>
-- optional values
optional.of(A) optional<A>
optional.ofNonZeroValue(A) optional<A>
optional.none() optional<A>
optional<A>.value() A
optional<A>.hasValue() bool
optional<A>.or(optional<A>) optional<A>
optional<A>.orValue(A) A
";

/// Names before a dot that are no variables but part of a function's name.
const NAMESPACES: [&str; 5] = ["strings", "sets", "optional", "ip", "format"];

/// Functions of Kubernetes that are not here, so that an error can say so.
const UNSUPPORTED: [(&str, &str); 9] = [
    ("image", "the image library"),
    ("isImage", "the image library"),
    ("bind", "cel.bind"),
    ("authorizer", "the authorizer library"),
    ("base64", "the encoders library"),
    ("math", "the math library"),
    ("jsonpatch", "the JSON patch library"),
    ("reverse", "string.reverse"),
    ("sortBy", "the lists extension"),
];

/// All overloads of a function. Functions of a namespace have it in their name: `sets.contains`.
pub(super) fn overloads(name: &str) -> &'static [Overload] {
    static ALL: LazyLock<HashMap<String, Vec<Overload>>> = LazyLock::new(|| {
        let mut all: HashMap<String, Vec<Overload>> = HashMap::new();
        for line in SIGNATURES.lines().filter(|line| !line.is_empty() && !line.starts_with("--")) {
            let (name, overload) = signature(line);
            all.entry(name).or_default().push(overload);
        }
        for name in ["_<_", "_<=_", "_>_", "_>=_"] {
            all.insert(name.to_owned(), comparisons());
        }
        all
    });
    ALL.get(name).map_or(&[], Vec::as_slice)
}

/// The full name of a function in a namespace, if there is one.
pub(super) fn namespaced(namespace: &str, function: &str) -> Option<String> {
    let name = format!("{namespace}.{function}");
    (NAMESPACES.contains(&namespace) && !overloads(&name).is_empty()).then_some(name)
}

/// What is missing here when somebody uses a name that the real server knows.
pub(super) fn unsupported(name: &str) -> Option<&'static str> {
    UNSUPPORTED.iter().find(|(known, _)| *known == name).map(|(_, library)| *library)
}

/// Numbers compare with numbers of every type, other values with their own.
fn comparisons() -> Vec<Overload> {
    use Type::{Bool, Bytes, Double, Duration, Int, Text, Timestamp, Uint};
    let numbers = [Int, Uint, Double];
    let mixed = numbers.iter().flat_map(|one| [Int, Uint, Double].map(|other| (one.clone(), other)));
    let same = [Bool, Text, Bytes, Timestamp, Duration].map(|one| (one.clone(), one));
    mixed
        .chain(same)
        .map(|(one, other)| Overload { receiver: false, arguments: vec![one, other], result: Bool })
        .collect()
}

/// Reads `target.name(argument, …) result`.
fn signature(line: &str) -> (String, Overload) {
    let (head, rest) = line.split_once('(').unwrap_or((line, ")"));
    let (inner, result) = rest.rsplit_once(')').unwrap_or((rest, ""));
    let mut arguments: Vec<Type> = split(inner).into_iter().map(type_named).collect();
    let overload = |receiver: bool, arguments: Vec<Type>| Overload {
        receiver,
        arguments,
        result: type_named(result.trim()),
    };
    match head.rsplit_once('.') {
        None => (head.to_owned(), overload(false, arguments)),
        // `format.validate` is a method of a format, the rest of the namespace makes formats.
        Some(("strings" | "sets" | "optional", _)) => (head.to_owned(), overload(false, arguments)),
        Some(("ip", "isCanonical")) => (head.to_owned(), overload(false, arguments)),
        Some(("format", name)) if name != "validate" => (head.to_owned(), overload(false, arguments)),
        Some((target, name)) => {
            arguments.insert(0, type_named(target));
            (name.to_owned(), overload(true, arguments))
        }
    }
}

/// The parts between commas that stand in no angle brackets.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (index, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..index].trim());
                start = index + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() {
        parts.push(text[start..].trim());
    }
    parts
}

fn type_named(name: &str) -> Type {
    if let Some((outer, inner)) = name.split_once('<') {
        let inner = split(inner.strip_suffix('>').unwrap_or(inner));
        let mut inner = inner.into_iter().map(type_named);
        let mut next = || inner.next().unwrap_or(Type::Dyn);
        return match outer {
            "list" => Type::list(next()),
            "map" => Type::map(next(), next()),
            _ => Type::optional(next()),
        };
    }
    match name {
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::Text,
        "bytes" => Type::Bytes,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "type" => Type::Meta,
        "A" => Type::Variable('A'),
        "B" => Type::Variable('B'),
        "url" => Type::Library("kubernetes.URL"),
        "ip" => Type::Library("net.IP"),
        "cidr" => Type::Library("net.CIDR"),
        "quantity" => Type::Library("kubernetes.Quantity"),
        "semver" => Type::Library("kubernetes.Semver"),
        "format" => Type::Library("kubernetes.NamedFormat"),
        _ => Type::Dyn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_read() {
        let joins = overloads("join");
        assert_eq!(joins.len(), 2);
        assert_eq!(joins[1].arguments, [Type::list(Type::Text), Type::Text]);
        assert!(joins[1].receiver);
        let contains = overloads("sets.contains");
        assert_eq!(contains[0].arguments.len(), 2);
        assert!(!contains[0].receiver);
        assert_eq!(overloads("getQuery")[0].result, Type::map(Type::Text, Type::list(Type::Text)));
        assert_eq!(overloads("_<_").len(), 14);
        assert!(overloads("validate")[0].receiver);
        assert_eq!(namespaced("format", "uri").as_deref(), Some("format.uri"));
        assert_eq!(namespaced("self", "uri"), None);
    }
}
