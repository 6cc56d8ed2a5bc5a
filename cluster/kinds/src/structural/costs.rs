//! What the rules of a definition's schema cost at most: each of them, and all together. A definition whose rules could
//! keep the server busy is refused when it is made, as Kubernetes does it: what a run costs is estimated from the limits
//! of the schema, and multiplied by how often the node with the rule can be there.

use seaway_schema::cel::{Extent, Type};
use seaway_schema::schema::{Additional, JsonType, Schema};
use serde_json::Value;

use super::rules::Rule;
use crate::field_error::{FieldError, Path};

/// Steps of one rule, wherever its node is in one object: about a second.
const RULE: u64 = 10_000_000;
/// Steps of all rules of a schema.
const ALL_RULES: u64 = 100_000_000;
/// Rules that are named when all together are too dear, and the share of the limit from which they count for it.
const NAMED: usize = 4;
const NAMED_FROM: u64 = ALL_RULES / 100;

/// Estimates every rule of a schema that has no other errors.
pub(crate) fn check(errors: &mut Vec<FieldError>, schema: &Value, path: &Path) {
    let schema = Schema::read(schema);
    if !schema.has_rules() {
        return;
    }
    let mut total = Total::default();
    total.node(errors, &schema, &schema, path, true, Some(1));
    if total.cost > ALL_RULES {
        total.dearest.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        for (_, path) in total.dearest.iter().take(NAMED) {
            let detail =
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            errors.push(FieldError::forbidden(path, detail));
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errors.push(FieldError::forbidden(path, too_dear(what, total.cost, ALL_RULES)));
    }
}

fn too_dear(what: &str, cost: u64, limit: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "it is told to a few digits")]
    let factor = cost as f64 / limit as f64;
    let factor = match factor {
        _ if factor > 100.0 => "more than 100x".to_owned(),
        // Not "1.0x".
        _ if factor < 1.5 => format!("{factor:.6}x"),
        _ => format!("{factor:.1}x"),
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}

#[derive(Default)]
struct Total {
    cost: u64,
    /// The dear ones, with the paths of their expressions.
    dearest: Vec<(u64, Path)>,
}

impl Total {
    /// The rules that stand in `said`, about values of `node`, of which there are at most so many; nothing says how many
    /// when that is absent.
    fn node(
        &mut self,
        errors: &mut Vec<FieldError>,
        said: &Schema,
        node: &Schema,
        path: &Path,
        is_resource: bool,
        most: Option<u64>,
    ) {
        if !said.rules.is_empty()
            && let (Some(self_type), Some(extent)) =
                (Type::of_schema(node, is_resource), Extent::of_schema(node, is_resource))
        {
            for (index, text) in said.rules.iter().enumerate() {
                let rule = Rule::compile(text, node, &self_type);
                let path = path.child("x-kubernetes-validations").index(index);
                let (cost, of_message) = rule.costs(text, &self_type, &extent);
                let cost = cost.saturating_mul(most.unwrap_or_else(|| extent.in_request()));
                self.expression(errors, path.child("rule"), "estimated rule cost", cost);
                if let Some(cost) = of_message {
                    let path = path.child("messageExpression");
                    self.expression(errors, path, "estimated messageExpression cost", cost);
                }
            }
        }
        for (index, one) in said.all_of.iter().enumerate().filter(|(_, one)| one.has_rules()) {
            self.node(errors, one, node, &path.child("allOf").index(index), is_resource, most);
        }
        let below = most.zip(elements(node)).map(|(most, elements)| most.saturating_mul(elements));
        for (name, said) in said.properties.iter().filter(|(_, said)| said.has_rules()) {
            if let Some(node) = node.properties.get(name) {
                let path = path.child("properties").key(name);
                self.node(errors, said, node, &path, node.embedded, below);
            }
        }
        if let (Some(said), Some(node)) = (said.each().filter(|said| said.has_rules()), node.each()) {
            self.node(errors, said, node, &path.child("additionalProperties"), node.embedded, below);
        }
        if let (Some(said), Some(items)) = (said.items.as_ref().filter(|said| said.has_rules()), &node.items)
        {
            self.node(errors, said, items, &path.child("items"), items.embedded, below);
        }
    }

    fn expression(&mut self, errors: &mut Vec<FieldError>, path: Path, what: &str, cost: u64) {
        if cost > RULE {
            errors.push(FieldError::forbidden(&path, too_dear(what, cost, RULE)));
        }
        self.cost = self.cost.saturating_add(cost);
        if cost >= NAMED_FROM {
            self.dearest.push((cost, path));
        }
    }
}

/// How many parts a value can have that are there once in a structure; absent when nothing limits them.
fn elements(node: &Schema) -> Option<u64> {
    match node.json_type {
        Some(JsonType::Object) if !matches!(node.additional, None | Some(Additional::Nothing)) => {
            node.max_properties
        }
        Some(JsonType::Array) => node.max_items,
        _ => Some(1),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn found(schema: &Value) -> Vec<String> {
        let mut errors = vec![];
        check(&mut errors, schema, &Path::new("s"));
        errors.iter().map(ToString::to_string).collect()
    }

    /// Whether a rule on a list of texts is accepted.
    fn accepts(rule: &str, items: u64, length: u64) -> bool {
        found(&json!({"type": "object", "properties": {"tags": {"type": "array", "maxItems": items,
            "items": {"type": "string", "maxLength": length}, "x-kubernetes-validations": [{"rule": rule}]}}}))
        .is_empty()
    }

    /// The largest limits with which Kubernetes 1.36 accepts a rule, as people measured it.
    #[test]
    fn the_largest_list_that_is_accepted_is_that_of_kubernetes() {
        let rule = "self.all(x, x.contains('gpu'))";
        for (length, items) in [(16, 909_090), (63, 333_333), (253, 94_339), (1024, 24_154)] {
            assert!(accepts(rule, items, length), "{length}");
            assert!(!accepts(rule, items + 1, length), "{length}");
        }
    }

    #[test]
    fn what_has_no_limits_is_told_by_rule_and_all_together() {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"tags": {
            "type": "array", "items": {"type": "string"},
            "x-kubernetes-validations": [{"rule": "self.all(x, x.contains('gpu'))"}]}}}}});
        let hint = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and \
                    strings are declared)";
        let at = "s.properties[spec].properties[tags].x-kubernetes-validations[0].rule: Forbidden";
        assert_eq!(
            found(&schema),
            [
                format!("{at}: estimated rule cost exceeds budget by factor of more than 100x {hint}"),
                format!(
                    "{at}: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
                ),
                format!(
                    "s: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds \
                     budget by factor of more than 100x {hint}"
                ),
            ]
        );
    }

    #[test]
    fn a_rule_costs_as_often_as_its_node_can_be_there() {
        let rules = |outer: Value, inner: Value| {
            let mut items = json!({"type": "array", "items": {"type": "object", "properties": {"name": {
                "type": "string", "maxLength": 100}}, "x-kubernetes-validations": [{"rule": "self.name != 'x'"}]}});
            items.as_object_mut().unwrap().extend(inner.as_object().unwrap().clone());
            let mut map = json!({"type": "object", "additionalProperties": items});
            map.as_object_mut().unwrap().extend(outer.as_object().unwrap().clone());
            found(&json!({"type": "object", "properties": {"map": map}}))
        };
        // Three steps, a thousand times a thousand.
        assert!(rules(json!({"maxProperties": 1000}), json!({"maxItems": 1000})).is_empty());
        let many = rules(json!({"maxProperties": 1000}), json!({"maxItems": 5000}));
        assert!(many[0].contains("estimated rule cost exceeds budget by factor of 1.5x"), "{many:?}");
        let more = rules(json!({"maxProperties": 1000}), json!({"maxItems": 3400}));
        assert!(more[0].contains("by factor of 1.020000x"), "{more:?}");
        // Without a limit it is what fits into a request.
        assert!(rules(json!({}), json!({})).is_empty());
    }

    #[test]
    fn messages_cost_too() {
        let schema = json!({"type": "object", "properties": {"min": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.min < 3", "messageExpression": "'it is ' + string(self.min)"}]});
        let told = found(&schema);
        assert!(
            told[0].starts_with(
                "s.x-kubernetes-validations[0].messageExpression: Forbidden: estimated messageExpression cost exceeds \
                 budget by factor of more than 100x"
            ),
            "{told:?}"
        );
        let formatted = json!({"type": "object", "properties": {"min": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.min < 3", "messageExpression": "'it is %d'.format([self.min])"}]});
        assert!(found(&formatted).is_empty());
    }
}
