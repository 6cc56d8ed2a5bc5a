#![allow(clippy::unwrap_used)]
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::Type;
use super::value::Value;
use super::{Cost, EvalError, compile, compile_untyped};
use crate::schema::Schema;

fn schema() -> Schema {
    Schema::read(&json!({"type": "object", "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer"},
        "ratio": {"type": "number"},
        "on": {"type": "boolean"},
        "port": {"x-kubernetes-int-or-string": true},
        "wait": {"type": "string", "format": "duration"},
        "at": {"type": "string", "format": "date-time"},
        "day": {"type": "string", "format": "date"},
        "data": {"type": "string", "format": "byte"},
        "maybe": {"type": "string", "nullable": true},
        "a-b": {"type": "string"},
        "namespace": {"type": "string"},
        "list": {"type": "array", "items": {"type": "integer"}},
        "words": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "items": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": {"type": "string"}, "value": {"type": "integer"}}}},
        "free": {"x-kubernetes-preserve-unknown-fields": true},
        "inner": {"type": "object", "properties": {"x": {"type": "integer"}}},
    }}))
}

fn object() -> Json {
    json!({
        "name": "Änne", "count": 3, "ratio": 2, "on": true, "port": "80%", "wait": "90s", "at": "2024-02-03T04:05:06.5Z",
        "day": "2024-02-03", "data": "YWI=", "maybe": null, "a-b": "dash", "namespace": "ns",
        "list": [1, 3, 2], "words": ["b", "a"], "map": {"k": "v", "x/y": "z"},
        "items": [{"name": "one", "value": 1}, {"name": "two", "value": 2}],
        "free": {"any": 1}, "inner": {},
        "metadata": {"name": "thing"}, "kind": "Thing", "apiVersion": "example.com/v1",
    })
}

fn variables() -> Vec<(String, Type)> {
    vec![("self".to_owned(), Type::of_schema(&schema(), true).unwrap())]
}

/// The value of an expression in a few words, or why there is none.
fn evaluate(source: &str) -> String {
    let program = match compile(source, &variables()) {
        Ok(program) => program,
        Err(error) => return error,
    };
    let (schema, object) = (schema(), object());
    let this = Value::of(&object, &schema, true).unwrap();
    match program.run(&[("self", this)], &mut Cost::new()) {
        Ok(Value::Bool(value)) => value.to_string(),
        Ok(other) => other.shown(),
        Err(EvalError::Failed(error)) => format!("error: {error}"),
        Err(cost) => format!("{cost:?}"),
    }
}

#[test]
fn expressions_hold() {
    let all = "
self.name == 'Änne' && size(self.name) == 4 && self.name.size() == 4
self.count + 1 == 4 && self.count - 5 == -2 && 7 / 2 == 3 && -7 % 3 == -1 && 2 * 3 == 6
self.ratio == 2.0 && self.ratio > 1 && self.ratio < 3u && self.ratio / 4.0 == 0.5
1 == 1 && 1u == 1u && 0x10 == 16 && 1e3 == 1000.0 && -9223372036854775808 < 0
'a' + 'b' == 'ab' && [1] + [2] == [1, 2] && b'a' + b'b' == b'ab'
r'\\n' == '\\\\n' && '\\u00c4' == 'Ä' && '\\101' == 'A' && '''a'b''' == \"a'b\" && b'\\xff' != b'ÿ'
self.on ? true : false
!self.on == false && !!self.on
has(self.name) && !has(self.map.none) && has(self.map.k) && has(self.maybe)
type(self.maybe) == null_type && type(self.name) == string
self.__namespace__ == 'ns' && self.a__dash__b == 'dash'
self.metadata.name == 'thing' && self.kind == 'Thing' && self.apiVersion.startsWith('example.com')
type(self.port) == string && self.port.matches(r'^[0-9]+%$')
type(self.port) == int ? self.port < 5 : int(self.port.replace('%', '')) == 80
self.wait == duration('1m30s') && self.wait > duration('1s') && self.wait.getSeconds() == 90
self.at > timestamp('2024-01-01T00:00:00Z') && self.at.getFullYear() == 2024 && self.at.getMonth() == 1
self.at - timestamp('2024-02-03T04:05:06Z') == duration('500ms') && self.at.getMilliseconds() == 500
self.at.getHours('+02:00') == 6 && self.at.getDayOfWeek() == 6 && self.at.getDate() == 3 && self.at.getDayOfMonth() == 2
self.day == timestamp('2024-02-03T00:00:00Z') && self.at + duration('1h') > self.at
self.data == b'ab' && string(self.data) == 'ab' && size(self.data) == 2
self.list[0] == 1 && self.list[2] == 2 && 3 in self.list && !(9 in self.list)
self.list.all(x, x > 0) && self.list.exists(x, x == 3) && self.list.exists_one(x, x == 3)
self.list.map(x, x * 2) == [2, 6, 4] && self.list.filter(x, x > 1) == [3, 2] && self.list.map(x, x > 1, x) == [3, 2]
self.list.all(i, x, i < 3 && x > 0) && self.list.transformList(i, x, i + x) == [1, 4, 4]
self.map.transformMap(k, v, k + v)['k'] == 'kv' && self.map.exists(k, v, k == 'x/y' && v == 'z')
{'a': 1}.transformMapEntry(k, v, {k + 'x': v + 1}) == {'ax': 2}
self.map['k'] == 'v' && self.map.k == 'v' && 'x/y' in self.map && self.map.all(k, size(k) > 0)
self.words == ['a', 'b'] && self.words + ['a', 'c'] == ['b', 'a', 'c']
self.items == [self.items[1], self.items[0]]
self.items.exists(i, i.name == 'two' && i.value == 2)
self.list.isSorted() == false && self.list.sum() == 6 && self.list.min() == 1 && self.list.max() == 3
self.list.indexOf(2) == 2 && self.list.lastIndexOf(9) == -1 && ['b', 'a'].min() == 'a'
sets.contains([1, 2, 3], [1]) && sets.intersects([1], [1, 2]) && sets.equivalent([1, 2], [2, 1, 1])
self.name.contains('nn') && self.name.startsWith('Ä') && self.name.endsWith('e')
'hello'.charAt(1) == 'e' && 'hello'.indexOf('l') == 2 && 'hello'.indexOf('l', 3) == 3 && 'hello'.lastIndexOf('l') == 3
'hello'.lastIndexOf('l', 2) == 2 && 'äöü'.indexOf('ü') == 2 && 'äöü'.substring(1) == 'öü' && 'äöü'.substring(0, 2) == 'äö'
['a', 'b'].join() == 'ab' && ['a', 'b'].join('-') == 'a-b' && 'a,b,c'.split(',') == ['a', 'b', 'c']
'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'abc'.split('') == ['a', 'b', 'c'] && 'abc'.split('', 2) == ['a', 'bc']
'aXa'.lowerAscii() == 'axa' && 'aÄ'.upperAscii() == 'AÄ' && ' a '.trim() == 'a'
'aaa'.replace('a', 'b') == 'bbb' && 'aaa'.replace('a', 'b', 2) == 'bba' && strings.quote('a\"b') == '\"a\\\\\"b\"'
'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]') == '' && '1a2b'.findAll('[0-9]') == ['1', '2'] && '1a2b'.findAll('[0-9]', 1) == ['1']
'%d and %d'.format([1, 2]) == '1 and 2' && '%s'.format(['x']) == 'x' && '%.2f'.format([1.255]) == '1.25' && '%%'.format([]) == '%'
'%s'.format([[1, 2]]) == '[1, 2]' && '%x'.format([255]) == 'ff' && '%X'.format(['hi']) == '6869' && '%b'.format([5]) == '101'
'%e'.format([1234.5]) == '1.234500e+03' && '%o'.format([8]) == '10' && '%s'.format([duration('90s')]) == '90s'
url('https://example.com:80/a?k=v').getHost() == 'example.com:80' && url('https://a/b').getScheme() == 'https'
url('https://a:80/p%20q?k=1&k=2').getPort() == '80' && url('https://a/p q').getEscapedPath() == '/p%20q'
url('/x?k=1&k=2').getQuery() == {'k': ['1', '2']} && isURL('/x') && !isURL('x') && url('https://[::1]:80/').getHostname() == '::1'
ip('10.0.0.1').family() == 4 && isIP('::1') && !isIP('10.0.0') && ip('::1').isLoopback() && ip.isCanonical('::1') && !ip.isCanonical('0:0::1')
ip('10.0.0.1').isGlobalUnicast() && ip('169.254.0.1').isLinkLocalUnicast() && ip('0.0.0.0').isUnspecified() && string(ip('::1')) == '::1'
cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsIP(ip('10.1.2.3')) && !cidr('10.0.0.0/8').containsIP('11.0.0.1')
cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.0.0.0/16').containsCIDR('10.0.0.0/8') && isCIDR('::/0')
cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.1.2.3/8').prefixLength() == 8 && cidr('10.1.2.3/8').ip() == ip('10.1.2.3')
quantity('1Gi').isGreaterThan(quantity('500Mi')) && quantity('1').add(2) == quantity('3') && quantity('1').sub(quantity('2')).sign() == -1
quantity('50k').asInteger() == 50000 && isQuantity('1.5') && !isQuantity('x') && !quantity('1.5').isInteger() && quantity('1.5').asApproximateFloat() == 1.5
quantity('1').compareTo(quantity('1')) == 0 && quantity('1').compareTo(quantity('2')) == -1
semver('1.2.3').major() == 1 && semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-rc.1').compareTo(semver('1.0.0')) == -1
isSemver('1.2.3') && !isSemver('1.2') && isSemver('v1.2', true) && semver('v01.2', true).minor() == 2
!format.dns1123Label().validate('a-b').hasValue() && format.dns1123Label().validate('A').hasValue() && format.named('uri').hasValue()
format.dns1123LabelPrefix().validate('abc-') == optional.none() && format.named('nope') == optional.none()
optional.of(1).value() == 1 && optional.none().orValue(2) == 2 && optional.of(1).or(optional.of(2)).value() == 1
optional.ofNonZeroValue('').hasValue() == false && optional.ofNonZeroValue('x').hasValue()
self.?map.none.orValue('d') == 'd' && self.?map.k.orValue('d') == 'v' && self.map[?'k'].hasValue() && !self.list[?9].hasValue()
self.?inner.x.hasValue() == false && self.?inner.optMap(i, 5).orValue(0) == 5 && self.?inner.x.optMap(x, x + 1).orValue(0) == 0
[?self.?inner.x, 1] == [1] && {?'a': self.?inner.x, 'b': 1} == {'b': 1} && optional.of(1).optFlatMap(x, optional.of(x + 1)).value() == 2
int('5') == 5 && int(2.9) == 2 && int(self.at) == 1706933106 && uint(3) == 3u && double('1.5') == 1.5 && double(1) == 1.0
string(1) == '1' && string(1.5) == '1.5' && string(true) == 'true' && string(duration('1h')) == '3600s' && bool('true')
string(timestamp('2024-01-01T00:00:00Z')) == '2024-01-01T00:00:00Z' && timestamp(0) == timestamp('1970-01-01T00:00:00Z')
dyn(1) == 1.0 && dyn('a') != 1 && type(1) == int && type(self.list) == list && type(type(1)) == type
[[1], [2]] == [[1], [2]] && {'a': [1]} == {'a': [1]} && {'a': 1} != {'a': 2} && {1: 'x'}[1] == 'x'
1 > 0 || 1 / 0 > 0
1 / 0 > 0 || 1 > 0
!(1 / 0 > 0 && 1 < 0)
self.items.all(a, self.items.exists_one(b, a.name == b.name && (has(a.value) && has(b.value) ? a.value == b.value : !has(a.value) && !has(b.value))))
'*.example.com'.matches(r\"\"\"^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$\"\"\")
self.items.filter(i, i.name in ['one', 'x']).map(i, i.value) == [1] && !(self.count == 1) || self.on
[0, 1].exists(x, 1 / x == 1) && ![0, 1].all(x, 1 / x == 2)
// a comment
true // and another
";
    for line in all.lines().filter(|line| !line.is_empty() && !line.starts_with("//")) {
        let found = evaluate(line);
        assert_eq!(found, "true", "{line}");
    }
    assert_eq!(evaluate("true // and another"), "true");
}

/// The value of an expression over the fields of an object that no schema describes.
fn evaluate_untyped(source: &str, object: &Json, cost: &mut Cost) -> Result<String, EvalError> {
    let program = compile_untyped(source).unwrap();
    let mut variables = vec![("self", Value::untyped(object, cost)?)];
    for (name, field) in object.as_object().unwrap() {
        variables.push((name, Value::untyped(field, cost)?));
    }
    Ok(program.run(&variables, cost)?.shown())
}

#[test]
fn without_a_schema_values_have_the_types_that_json_has() {
    let object = json!({
        "name": "a", "count": 3, "type": "x", "ratio": 2.5, "whole": 2.0, "large": u64::MAX, "on": true, "none": null,
        "items": [3, "x", null, {"k": 1}], "fields": {"a-b": 1, "__namespace__": 2, "a.b/c": {"d": []}},
        "other": {"a-b": 1.0, "__namespace__": 2, "a.b/c": {"d": []}},
    });
    for source in [
        "type(name) == string && type(count) == int && type(ratio) == double && type(large) == uint",
        "type(on) == bool && type(none) == null_type && type(items) == list && type(fields) == map && type(self) == map",
        "count + 1 == 4 && ratio * 2.0 == 5.0 && whole == 2 && count > ratio && large > count",
        "fields['a-b'] == 1 && fields.__namespace__ == 2 && fields['a.b/c'].d == [] && 'a-b' in fields",
        "has(self.none) && !has(self.missing) && !has(fields.x) && self.?fields.?x.orValue('d') == 'd'",
        "items.size() == 4 && items[3].k == 1 && 'x' in items && items.exists(x, x == null) && items[?9].orValue(1) == 1",
        "items.filter(x, type(x) == int) == [3] && items == [3, 'x', null, {'k': 1}] && items != items + [1]",
        "fields == other && fields.all(k, k != '') && fields.exists(k, v, k == 'a-b' && v == 1) && self.fields == fields",
        "type == 'x' && self.type == type && type(type) == string",
        "(on ? 'a' : 1) == 'a' && {'a': 1, 2: 'b'}[2] == 'b'",
        "self['count'] == count && optional.of(count).hasValue() && dyn(name) == 'a'",
    ] {
        assert_eq!(evaluate_untyped(source, &object, &mut Cost::new()).as_deref(), Ok("true"), "{source}");
    }
    for (source, error, is_absence) in [
        ("missing.x", "no such attribute(s): missing", true),
        ("fields.x", "no such key: x", true),
        ("items[4] == 1", "index out of bounds: 4", true),
        ("name.x", "no such overload", false),
        ("count + ratio", "no such overload", false),
        ("name < count", "no such overload", false),
        ("count / 0", "division by zero", false),
    ] {
        let found = evaluate_untyped(source, &object, &mut Cost::new()).unwrap_err();
        assert_eq!((found.to_string().as_str(), found.is_absence()), (error, is_absence), "{source}");
    }
}

#[test]
fn without_a_schema_an_expression_is_checked_as_far_as_it_tells() {
    for (source, place, message) in [
        ("a.b ==", (1, 7), "Syntax error: mismatched input '<EOF>'"),
        ("true &&\n 'x'", (2, 2), "expected type 'bool' but found 'string'"),
        ("a.nothing()", (1, 10), "undeclared reference to 'nothing'"),
        ("cel.bind(x, 1, x)", (1, 9), "cel.bind is not supported"),
        ("a.matches('(')", (1, 11), "invalid matches argument"),
    ] {
        let error = compile_untyped(source).unwrap_err();
        assert_eq!((error.line, error.column), place, "{error}");
        assert!(error.message.contains(message), "{error}");
    }
    assert_eq!(compile_untyped("a.b == c").unwrap().result, Type::Bool);
    assert_eq!(compile_untyped("a.b").unwrap().result, Type::Dyn);
}

#[test]
fn long_texts_of_objects_cost_steps_each_time_they_are_read() {
    let object = json!({"text": "a".repeat(100_000), "items": vec![0; 1000]});
    let mut cost = Cost::limited(300_000, 100_000);
    let found = evaluate_untyped("items.all(x, has(self.text))", &object, &mut cost).unwrap_err();
    assert_eq!(found, EvalError::RuleCost);
    let found = evaluate_untyped("text == text", &object, &mut Cost::limited(15_000, 100_000)).unwrap_err();
    assert_eq!(found, EvalError::ObjectCost);
}

#[test]
fn errors_of_a_run_are_those_of_the_real_server() {
    for (source, error) in [
        ("self.map.none == ''", "no such key: none"),
        ("self.map['none'] == ''", "no such key: none"),
        ("self.inner.x == 1", "no such key: x"),
        ("self.list[9] == 1", "index out of bounds: 9"),
        ("self.list[-1] == 1", "index out of bounds: -1"),
        ("1 / (self.count - 3) == 1", "division by zero"),
        ("1 % (self.count - 3) == 1", "modulus by zero"),
        ("9223372036854775807 + self.count == 0", "integer overflow"),
        ("uint(self.count) - 4u == 0u", "unsigned integer overflow"),
        ("self.port < 5", "no such overload"),
        ("int(self.name) == 1", "strconv.ParseInt: parsing \"Änne\": invalid syntax"),
        ("optional.none().value() == 1", "optional.none() dereference"),
        ("{'a': 1, 'a': 2} == {}", "insert failed: key a already exists"),
        ("[1].filter(x, x > 1).min() == 1", "min called on empty list"),
        ("'abc'.substring(2, 1) == ''", "invalid substring range. start: 2, end: 1"),
        ("'abc'.charAt(9) == ''", "index out of range: 9"),
        (
            "quantity('x').sign() == 1",
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            "'%d'.format(['x']) == ''",
            "error during formatting: decimal clause can only be used on numbers, was given string",
        ),
        ("'%d'.format([]) == ''", "index 0 out of range"),
    ] {
        assert_eq!(evaluate(source), format!("error: {error}"), "{source}");
    }
}

#[test]
fn what_cannot_be_compiled_names_the_place_and_the_reason() {
    const BEGIN: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
    for (source, column, message) in [
        ("self.nope > 1", 5, "undefined field 'nope'".to_owned()),
        ("self.namespace == ''", 5, "undefined field 'namespace'".to_owned()),
        ("self.free == 1", 5, "undefined field 'free'".to_owned()),
        ("nope == 1", 1, "undeclared reference to 'nope' (in container '')".to_owned()),
        ("nope(1)", 5, "undeclared reference to 'nope' (in container '')".to_owned()),
        ("self.name == 1", 11, "found no matching overload for '_==_' applied to '(string, int)'".to_owned()),
        ("self.name > 0", 11, "found no matching overload for '_>_' applied to '(string, int)'".to_owned()),
        ("self.name.startsWith(1)", 21, "found no matching overload for 'startsWith' applied to 'string.(int)'".to_owned()),
        ("self.count.all(x, true)", 5, "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)".to_owned()),
        ("self.count.x", 11, "type 'int' does not support field selection".to_owned()),
        ("self.list.all(x, x)", 18, "expected type 'bool' but found 'int'".to_owned()),
        ("[1, 'a'] == []", 5, "expected type 'int' but found 'string'".to_owned()),
        ("'%s has %d'.format(['a', 1]) == ''", 26, "expected type 'string' but found 'int'".to_owned()),
        ("self.on ? 1 : 'a'", 9, "found no matching overload for '_?_:_' applied to '(bool, int, string)'".to_owned()),
        ("self.name.matches('(')", 19, "invalid matches argument: error parsing regexp: missing closing ): `(`".to_owned()),
        ("duration('x') > self.wait", 10, "invalid duration argument".to_owned()),
        ("Thing{a: 1} == 1", 6, "undeclared reference to 'Thing' (in container '')".to_owned()),
        ("image('a').tag() == ''", 6, "undeclared reference to 'image' (in container ''): the image library is not supported by this server".to_owned()),
        ("cel.bind(x, 1, x == 1)", 9, "undeclared reference to 'cel.bind' (in container ''): cel.bind is not supported by this server".to_owned()),
        ("has(self)", 5, "invalid argument to has() macro".to_owned()),
        ("self.list.all(self.x, true)", 19, "argument must be a simple name".to_owned()),
        ("self.name ==", 13, format!("Syntax error: mismatched input '<EOF>' expecting {BEGIN}")),
        ("self.name == 'a", 14, "Syntax error: token recognition error at: ''a'".to_owned()),
        ("self.name = 'a'", 11, "Syntax error: token recognition error at: '='".to_owned()),
        ("(self.on", 9, "Syntax error: missing ')' at '<EOF>'".to_owned()),
        ("self.on self", 9, "Syntax error: extraneous input 'self' expecting <EOF>".to_owned()),
        ("99999999999999999999 == 1", 1, "invalid int literal".to_owned()),
        ("package == 1", 1, "reserved identifier: package".to_owned()),
    ] {
        let dots = ".".repeat(column - 1);
        assert_eq!(
            evaluate(source),
            format!("ERROR: <input>:1:{column}: {message}\n | {source}\n | {dots}^"),
            "{source}"
        );
    }
    let second_line = evaluate("true &&\n  nope");
    assert!(second_line.starts_with("ERROR: <input>:2:3: undeclared reference"), "{second_line}");
}

#[test]
fn no_expression_runs_for_long_or_deep() {
    let many = "[1,2,3,4,5,6,7,8,9,10]";
    let nested = (0..8).fold("true".to_owned(), |body, level| format!("{many}.all(x{level}, {body})"));
    assert_eq!(evaluate(&nested), "RuleCost");
    let grows = (0..30).fold("'aaaaaaaaaa'".to_owned(), |text, _| format!("[{text}].map(x, x + x)[0]"));
    assert!(["RuleCost", "ERROR"].iter().any(|end| evaluate(&grows).starts_with(end)));
    let replaced = (0..8)
        .fold("'aaaaaaaaaa'".to_owned(), |text, _| format!("{text}.replace('', 'aaaaaaaaaaaaaaaaaaaa')"));
    assert_eq!(evaluate(&format!("{replaced} == ''")), "RuleCost");
    for deep in [
        format!("{}1{} == 1", "(".repeat(5000), ")".repeat(5000)),
        "[".repeat(5000),
        format!("self{}", ".a".repeat(5000)),
        vec!["1"; 5000].join(" + "),
        format!("{}true", "true ? true : ".repeat(5000)),
        format!("self{}", ".list.all(x, self".repeat(500)),
    ] {
        assert!(evaluate(&deep).contains("expression recursion limit exceeded"), "{}", &deep[..40]);
    }
    assert_eq!(evaluate(&vec!["true"; 5000].join(" && ")), "true");
    assert_eq!(evaluate(&format!("{}true", "!".repeat(5000))), "true");
    let long = evaluate(&"a".repeat(100_001));
    assert!(long.contains("expression code point size exceeds limit"), "{}", &long[..100]);
    // As deep as allowed, in every way at once: the stack must hold it.
    for nested in [
        (0..20).fold("true".to_owned(), |body, n| format!("self.list.all(x{n}, ({body}) || false)")),
        format!("{}self.on{}", "(".repeat(60), ")".repeat(60)),
        (0..60).fold("1".to_owned(), |body, _| format!("[{body}]")) + " == []",
    ] {
        let found = evaluate(&nested);
        assert!(!found.contains("limit exceeded"), "{found}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_the_language_panic(words in prop::collection::vec(prop::sample::select(vec![
        "self", "x", ".name", ".list", ".map", ".items", ".port", ".at", ".?", "(", ")", "[", "]", "{", "}", "?", ":",
        "&&", "||", "!", "-", "+", "*", "/", "%", "==", "<", ">=", "in", "'a'", "\"b", "'", "`", "1", "1u", "1.5", "0x1f",
        "b'x'", "r'\\", "\\", "\n", "//c\n", "has(", ".all(x,", ".map(x,", ".exists(i,x,", ".filter(x,", ",", "true",
        "null", "é", "\u{0}", ".size()", ".matches('(a|b)*')", ".split('')", ".format([", "duration('1h')", "int(",
        ".substring(1)", "9223372036854775807", "-9223372036854775808", "1e308", ".orValue(", "optional.of(", " ",
    ]), 0..20)) {
        let _ = evaluate(&words.concat());
    }

    #[test]
    fn no_characters_make_the_language_panic(text in "\\PC{0,30}") {
        let _ = evaluate(&text);
    }
}
