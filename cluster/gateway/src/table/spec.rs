//! The fields of the Gateway API objects that the gateway reads. Enumerations
//! stay text: an unknown value has to become a condition, not a parse error.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Default)]
pub(crate) struct Meta {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) generation: i64,
    pub(crate) creation_timestamp: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

impl Meta {
    /// Reads `metadata`; each field of the wrong type counts as absent, and takes no other with it.
    pub(crate) fn of(object: &Value) -> Self {
        let field = |name: &str| object.get("metadata").and_then(|meta| meta.get(name));
        let text = |name: &str| field(name).and_then(Value::as_str).map(str::to_owned);
        Self {
            name: text("name").unwrap_or_default(),
            namespace: text("namespace").unwrap_or_default(),
            generation: field("generation").and_then(Value::as_i64).unwrap_or_default(),
            creation_timestamp: text("creationTimestamp"),
            resource_version: text("resourceVersion"),
            labels: field("labels").and_then(|labels| BTreeMap::deserialize(labels).ok()),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GatewaySpec {
    pub(crate) gateway_class_name: String,
    pub(crate) listeners: Vec<ListenerSpec>,
    pub(crate) addresses: Vec<AddressSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AddressSpec {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) value: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListenerSpec {
    pub(crate) name: String,
    pub(crate) hostname: Option<String>,
    pub(crate) port: u16,
    pub(crate) protocol: String,
    pub(crate) tls: Option<ListenerTlsSpec>,
    pub(crate) allowed_routes: Option<AllowedRoutesSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListenerTlsSpec {
    pub(crate) mode: Option<String>,
    pub(crate) certificate_refs: Vec<SecretRefSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SecretRefSpec {
    pub(crate) group: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AllowedRoutesSpec {
    pub(crate) namespaces: Option<RouteNamespacesSpec>,
    pub(crate) kinds: Vec<RouteKindSpec>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RouteNamespacesSpec {
    pub(crate) from: Option<String>,
    pub(crate) selector: Option<LabelSelector>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RouteKindSpec {
    pub(crate) group: Option<String>,
    pub(crate) kind: String,
}

/// `metav1.LabelSelector`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LabelSelector {
    match_labels: BTreeMap<String, String>,
    match_expressions: Vec<LabelRequirement>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct LabelRequirement {
    key: String,
    operator: String,
    values: Vec<String>,
}

impl LabelSelector {
    /// Whether an object with these labels is selected. An unknown operator selects nothing.
    pub(crate) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| {
                let value = labels.get(&requirement.key);
                match requirement.operator.as_str() {
                    "In" => value.is_some_and(|v| requirement.values.contains(v)),
                    "NotIn" => value.is_none_or(|v| !requirement.values.contains(v)),
                    "Exists" => value.is_some(),
                    "DoesNotExist" => value.is_none(),
                    _ => false,
                }
            })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RouteSpec {
    /// Raw as well: the status repeats the reference as it was written.
    pub(crate) parent_refs: Vec<Value>,
    pub(crate) hostnames: Vec<String>,
    /// Raw: a rule that cannot be read is dropped alone.
    pub(crate) rules: Option<Vec<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ParentRef {
    pub(crate) group: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    pub(crate) section_name: Option<String>,
    pub(crate) port: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RuleSpec {
    pub(crate) name: Option<String>,
    pub(crate) matches: Vec<MatchSpec>,
    pub(crate) filters: Vec<FilterSpec>,
    pub(crate) backend_refs: Vec<BackendRefSpec>,
    pub(crate) timeouts: Option<TimeoutsSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct MatchSpec {
    pub(crate) path: Option<ValueMatchSpec>,
    pub(crate) headers: Vec<ValueMatchSpec>,
    pub(crate) query_params: Vec<ValueMatchSpec>,
    pub(crate) method: Option<String>,
}

/// A path, header or query match: the same three fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ValueMatchSpec {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FilterSpec {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) request_header_modifier: Option<HeaderModifierSpec>,
    pub(crate) response_header_modifier: Option<HeaderModifierSpec>,
    pub(crate) request_mirror: Option<MirrorSpec>,
    pub(crate) request_redirect: Option<RedirectSpec>,
    pub(crate) url_rewrite: Option<RewriteSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HeaderModifierSpec {
    pub(crate) set: Vec<HeaderSpec>,
    pub(crate) add: Vec<HeaderSpec>,
    pub(crate) remove: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HeaderSpec {
    pub(crate) name: String,
    pub(crate) value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct MirrorSpec {
    pub(crate) backend_ref: BackendRefSpec,
    pub(crate) percent: Option<u32>,
    pub(crate) fraction: Option<FractionSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FractionSpec {
    pub(crate) numerator: u32,
    pub(crate) denominator: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RedirectSpec {
    pub(crate) scheme: Option<String>,
    pub(crate) hostname: Option<String>,
    pub(crate) path: Option<PathModifierSpec>,
    pub(crate) port: Option<u16>,
    pub(crate) status_code: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RewriteSpec {
    pub(crate) hostname: Option<String>,
    pub(crate) path: Option<PathModifierSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PathModifierSpec {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) replace_full_path: Option<String>,
    pub(crate) replace_prefix_match: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct BackendRefSpec {
    pub(crate) group: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    pub(crate) port: Option<u16>,
    pub(crate) weight: Option<u32>,
    pub(crate) filters: Vec<FilterSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TimeoutsSpec {
    pub(crate) request: Option<String>,
    pub(crate) backend_request: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct GrantSpec {
    pub(crate) from: Vec<GrantPeer>,
    pub(crate) to: Vec<GrantPeer>,
}

/// One entry of a ReferenceGrant's `from` (with a namespace) or `to` (with an optional name).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct GrantPeer {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
}
