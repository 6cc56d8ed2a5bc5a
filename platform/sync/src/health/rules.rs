//! Rules of a stack, in CEL: with the meaning that Flux gives to `healthCheckExprs`.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use seaway_api::{FieldError, HealthCheckExpr, HealthRule, compile_health_checks};
use seaway_object::GroupVersionKind;
use seaway_object::redact::is_secret;
use seaway_schema::cel::{Cost, Outcome, Program, Value as CelValue};
use serde_json::Value;

use super::{Health, HealthStatus, condition, is_going, number, said, text};

/// Steps that each expression may take on one object, about a hundredth of a second, and all of a rule together.
const EXPRESSION_STEPS: u64 = 100_000;
const RULE_STEPS: u64 = 3 * EXPRESSION_STEPS;
/// Characters of a message, and of an expression or a reason within one.
const LONGEST_MESSAGE: usize = 1024;
const LONGEST_PART: usize = 200;

/// How objects are judged: by the rules of a stack, and by the built-in ones where it has none.
#[derive(Debug, Default)]
pub struct HealthRules(Vec<(HealthCheckExpr, HealthRule)>);

impl HealthRules {
    /// Compiles rules.
    ///
    /// # Errors
    /// Everything that is wrong with them, by fields such as `[0].current`.
    pub fn compile(source: &[HealthCheckExpr]) -> Result<Self, Vec<FieldError>> {
        Ok(Self(source.iter().cloned().zip(compile_health_checks(source)?).collect()))
    }

    /// How well an object does.
    pub fn health(&self, object: &Value) -> Health {
        let rule = GroupVersionKind::of(object).ok().and_then(|kind| self.rule(&kind));
        match rule {
            Some(rule) if !is_going(object) => judge(rule, object),
            _ => super::health(object),
        }
    }

    /// The rule of a kind; one that names it goes before one that is about its whole group.
    fn rule(&self, kind: &GroupVersionKind) -> Option<&(HealthCheckExpr, HealthRule)> {
        let of_group = || self.0.iter().filter(|(_, rule)| rule.group == kind.group);
        of_group()
            .find(|(_, rule)| rule.kind.as_deref() == Some(&kind.kind))
            .or_else(|| of_group().find(|(_, rule)| rule.kind.is_none()))
    }

    fn are(&self, source: &[HealthCheckExpr]) -> bool {
        self.0.iter().map(|(rule, _)| rule).eq(source)
    }
}

/// Compiled rules, once for all environments that have the same ones.
#[derive(Debug, Default)]
pub(crate) struct CompiledRules(Mutex<Vec<Weak<HealthRules>>>);

impl CompiledRules {
    /// The rules of a stack. One that is wrong is not used at all before it is put right, so there are none then.
    pub(crate) fn get(&self, source: &[HealthCheckExpr]) -> Arc<HealthRules> {
        let mut known = self.0.lock();
        known.retain(|rules| rules.strong_count() > 0);
        if let Some(found) = known.iter().filter_map(Weak::upgrade).find(|rules| rules.are(source)) {
            return found;
        }
        let rules = Arc::new(HealthRules::compile(source).unwrap_or_default());
        known.push(Arc::downgrade(&rules));
        rules
    }
}

fn judge((source, rule): &(HealthCheckExpr, HealthRule), object: &Value) -> Health {
    // Before anything else, as Flux does: what is said of an older spec decides nothing.
    let observed = number(object, "/status/observedGeneration");
    if observed.is_some_and(|observed| Some(observed) != number(object, "/metadata/generation")) {
        return Health::progressing("the new spec has not been observed yet");
    }
    let blank = is_secret(object).then(|| without_values(object));
    let mut run = match Run::new(blank.as_ref().unwrap_or(object)) {
        Ok(run) => run,
        Err(error) => {
            return Health::new(HealthStatus::Unknown, format!("its health rule cannot run: {error}"));
        }
    };
    for (field, program, expression, status) in [
        ("inProgress", rule.in_progress.as_ref(), source.in_progress.as_deref(), HealthStatus::Progressing),
        ("failed", rule.failed.as_ref(), source.failed.as_deref(), HealthStatus::Degraded),
        ("current", Some(&rule.current), Some(source.current.as_str()), HealthStatus::Healthy),
    ] {
        let Some(program) = program else { continue };
        let expression = short(expression.unwrap_or_default());
        match run.run(program) {
            Ok(CelValue::Bool(true)) => {
                let why = || match status {
                    HealthStatus::Healthy => String::new(),
                    _ => own_words(object).unwrap_or_else(|| format!("{field} holds: {expression}")),
                };
                return Health::new(status, run.message(rule, why));
            }
            Ok(CelValue::Bool(false)) => {}
            Ok(other) => {
                let found = other.type_name();
                let message = format!("{field} of its health rule gives {found}, not bool: {expression}");
                return Health::new(HealthStatus::Unknown, message);
            }
            // What has no status yet is on its way.
            Err(error) if error.is_absence() => {
                let error = short(&error.to_string());
                return Health::progressing(format!(
                    "{field} of its health rule waits: {error}: {expression}"
                ));
            }
            Err(error) => {
                let error = short(&error.to_string());
                let message = format!("{field} of its health rule fails: {error}: {expression}");
                return Health::new(HealthStatus::Unknown, message);
            }
        }
    }
    let why =
        || own_words(object).unwrap_or_else(|| "current of its health rule does not hold yet".to_owned());
    Health::progressing(run.message(rule, why))
}

/// One object, as expressions see it, and the steps that are left.
struct Run<'a> {
    variables: Vec<(&'a str, CelValue<'a>)>,
    cost: Cost,
}

impl<'a> Run<'a> {
    fn new(object: &'a Value) -> Outcome<Self> {
        let mut cost = Cost::limited(RULE_STEPS, EXPRESSION_STEPS);
        let mut variables = vec![("self", CelValue::untyped(object, &mut cost)?)];
        for (name, field) in object.as_object().into_iter().flatten() {
            variables.push((name, CelValue::untyped(field, &mut cost)?));
        }
        Ok(Self { variables, cost })
    }

    fn run(&mut self, program: &Program) -> Outcome<CelValue<'a>> {
        program.run(&self.variables, &mut self.cost)
    }

    /// What the rule says, or else `why`.
    fn message(&mut self, rule: &HealthRule, why: impl Fn() -> String) -> String {
        let Some(program) = &rule.message else { return why() };
        let problem = match self.run(program) {
            Ok(CelValue::Text(text)) => return cut(text.trim(), LONGEST_MESSAGE),
            Ok(other) => format!("it gives {}, not string", other.type_name()),
            Err(error) => short(&error.to_string()),
        };
        let why = why();
        let gap = if why.is_empty() { "" } else { "; " };
        format!("{why}{gap}its message cannot be made: {problem}")
    }
}

/// What the object says of not being ready.
fn own_words(object: &Value) -> Option<String> {
    let ready = condition(object, "Ready").filter(|ready| text(ready, "/status") != "True")?;
    Some(cut(&said(ready), LONGEST_MESSAGE)).filter(|words| !words.is_empty())
}

/// A Secret whose values cannot reach a message; which keys there are, and which values are empty, remains to be seen.
fn without_values(secret: &Value) -> Value {
    let mut secret = secret.clone();
    for field in ["data", "stringData"] {
        for value in
            secret.get_mut(field).and_then(Value::as_object_mut).into_iter().flat_map(|all| all.values_mut())
        {
            if value.as_str() != Some("") {
                *value = "***".into();
            }
        }
    }
    if let Some(annotations) = secret.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    secret
}

fn short(text: &str) -> String {
    cut(&text.split_whitespace().collect::<Vec<_>>().join(" "), LONGEST_PART)
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(source: Value) -> HealthRules {
        let source: Vec<HealthCheckExpr> = serde_json::from_value(source).unwrap();
        HealthRules::compile(&source).unwrap()
    }

    fn only(rule: Value) -> HealthRules {
        let mut rule = rule;
        rule["apiVersion"] = "example.com/v1".into();
        rule["kind"] = "Thing".into();
        rules(json!([rule]))
    }

    fn thing(more: Value) -> Value {
        let mut thing = json!({"apiVersion": "example.com/v2", "kind": "Thing", "metadata": {"name": "x", "generation": 2}});
        thing.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        thing
    }

    fn status(rules: &HealthRules, object: &Value) -> (HealthStatus, String) {
        let health = rules.health(object);
        (health.status, health.message)
    }

    #[test]
    fn the_first_that_holds_of_in_progress_failed_and_current_decides() {
        let rules = only(json!({
            "inProgress": "status.phase == 'Starting'", "failed": "status.phase in ['Broken', 'Starting']",
            "current": "status.phase == 'Running'",
        }));
        for (phase, expected, message) in [
            ("Starting", HealthStatus::Progressing, "inProgress holds: status.phase == 'Starting'"),
            ("Broken", HealthStatus::Degraded, "failed holds: status.phase in ['Broken', 'Starting']"),
            ("Running", HealthStatus::Healthy, ""),
            ("Other", HealthStatus::Progressing, "current of its health rule does not hold yet"),
        ] {
            let found = status(&rules, &thing(json!({"status": {"phase": phase}})));
            assert_eq!(found, (expected, message.to_owned()));
        }
    }

    #[test]
    fn a_rule_sees_fields_as_variables_and_the_whole_object_as_self() {
        for current in [
            "status.ok && spec.wanted == 3 && metadata.name == 'x' && kind == 'Thing' && data['a.b'] == 'c'",
            "self.status.ok && has(self.status) && !has(self.other)",
            "status.?missing.orValue(true) && status.?ok.orValue(false)",
            "status.conditions.filter(e, e.type == 'Synced').all(e, e.status == 'True')",
            "data['a.b'].matches('^c$') && size(status.conditions) == 1 && self['spec']['ratio'] > 0.5",
            "quantity(spec.memory).isLessThan(quantity('2Gi'))",
        ] {
            let object = thing(json!({
                "spec": {"wanted": 3, "ratio": 0.75, "memory": "1Gi"}, "data": {"a.b": "c"},
                "status": {"ok": true, "conditions": [{"type": "Synced", "status": "True"}]},
            }));
            let rules = only(json!({"current": current}));
            assert_eq!(status(&rules, &object), (HealthStatus::Healthy, String::new()), "{current}");
        }
    }

    #[test]
    fn what_is_not_there_yet_is_waited_for_and_named() {
        let rules = only(json!({"failed": "status.phase == 'Broken'", "current": "true"}));
        let (found, message) = status(&rules, &thing(json!({})));
        assert_eq!(found, HealthStatus::Progressing);
        assert!(message.contains("failed") && message.contains("no such attribute(s): status"), "{message}");
        let (found, message) = status(&rules, &thing(json!({"status": {}})));
        assert_eq!(found, HealthStatus::Progressing);
        assert!(message.contains("no such key: phase: status.phase == 'Broken'"), "{message}");
        let old = thing(json!({"status": {"observedGeneration": 1, "phase": "Broken"}}));
        assert_eq!(status(&rules, &old).0, HealthStatus::Progressing, "it is about an older spec");
    }

    #[test]
    fn a_rule_that_fails_says_so_and_nobody_can_tell() {
        for (current, part) in [
            ("status.count < 'x'", "no such overload: status.count < 'x'"),
            ("status.count", "current of its health rule gives int, not bool"),
            ("1 / (status.count - 3) == 1", "division by zero"),
            ("status.text.matches(status.text)", "error parsing regexp"),
        ] {
            let rules = only(json!({"current": current}));
            let (found, message) = status(&rules, &thing(json!({"status": {"count": 3, "text": "["}})));
            assert_eq!(found, HealthStatus::Unknown, "{current}");
            assert!(message.contains(part), "{current}: {message}");
        }
    }

    #[test]
    fn a_rule_that_would_take_for_ever_ends_with_an_error() {
        let items: Vec<Value> =
            (0..20_000).map(|number| json!({"name": format!("item-{number}"), "n": number})).collect();
        let object =
            thing(json!({"status": {"items": items, "text": "a".repeat(1 << 20), "list": vec![0; 100_000]}}));
        for current in [
            "status.items.all(a, status.items.all(b, status.items.all(c, a.n + b.n + c.n >= 0)))",
            "status.items.map(a, status.items.map(b, status.items)).size() > 0",
            "status.list.all(a, status.list.all(b, a == b))",
            "status.list.map(x, status.text).size() > 0",
            "status.items.all(a, status.text.matches('(a|aa)+$'))",
            "status.items.all(a, status.text + status.text != '')",
            "[status.text].map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a)[0] != ''",
            "status.items.all(a, status.text.replace('a', status.text) != '')",
            "status.items.all(a, '%s%s'.format([status.text, status.text]) != '')",
            "status.items.all(a, has(status.text))",
            "status.items == status.items",
        ] {
            let rules = only(json!({"current": current}));
            let (found, message) = status(&rules, &object);
            assert_eq!(found, HealthStatus::Unknown, "{current}: {message}");
            assert!(message.contains("too many steps"), "{current}: {message}");
        }
    }

    #[test]
    fn a_message_is_made_from_the_object_or_is_told_to_be_wrong() {
        let rule = |message: &str| {
            only(json!({"failed": "status.phase == 'Broken'", "current": "true", "message": message}))
        };
        let broken = thing(json!({"status": {"phase": "Broken", "reason": "no disk"}}));
        assert_eq!(status(&rule("'because ' + status.reason"), &broken).1, "because no disk");
        let (found, message) = status(&rule("status.absent"), &broken);
        assert_eq!(found, HealthStatus::Degraded, "the message decides nothing");
        assert_eq!(
            message,
            "failed holds: status.phase == 'Broken'; its message cannot be made: no such key: absent"
        );
        let (_, message) = status(&rule("status"), &broken);
        assert!(message.ends_with("it gives map, not string"), "{message}");
        let long = thing(json!({"status": {"phase": "Broken", "reason": "x".repeat(5000)}}));
        assert_eq!(status(&rule("status.reason"), &long).1.chars().count(), LONGEST_MESSAGE + 1);
    }

    #[test]
    fn without_a_message_the_object_speaks_for_itself() {
        let rules = only(json!({"failed": "status.phase == 'Broken'", "current": "false"}));
        let ready =
            json!([{"type": "Ready", "status": "False", "reason": "NoDisk", "message": "there is none"}]);
        let broken = thing(json!({"status": {"phase": "Broken", "conditions": ready}}));
        assert_eq!(status(&rules, &broken), (HealthStatus::Degraded, "NoDisk: there is none".to_owned()));
        let waiting = thing(json!({"status": {"phase": "", "conditions": ready}}));
        assert_eq!(status(&rules, &waiting), (HealthStatus::Progressing, "NoDisk: there is none".to_owned()));
    }

    #[test]
    fn a_rule_goes_before_the_built_in_one_and_one_of_a_kind_before_one_of_its_group() {
        let rules = rules(json!([
            {"apiVersion": "apps/v1", "current": "false", "message": "'group'"},
            {"apiVersion": "apps/v1beta1", "kind": "Deployment", "current": "true", "message": "'kind'"},
        ]));
        let object =
            |api: &str, kind: &str| json!({"apiVersion": api, "kind": kind, "metadata": {"name": "x"}});
        assert_eq!(rules.health(&object("apps/v1", "Deployment")).message, "kind");
        assert_eq!(rules.health(&object("apps/v1", "StatefulSet")).message, "group");
        assert_eq!(rules.health(&object("v1", "ConfigMap")), Health::healthy());
        assert_eq!(rules.health(&json!({})).status, HealthStatus::Unknown);
        let mut deleted = object("apps/v1", "Deployment");
        deleted["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z".into();
        assert_eq!(rules.health(&deleted).message, "is being deleted");
    }

    #[test]
    fn values_of_secrets_do_not_reach_a_message() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "hunter2"}}, "data": {"password": "hunter2", "empty": ""}});
        for rule in [
            json!({"apiVersion": "v1", "kind": "Secret", "current": "false", "message": "data.password"}),
            json!({"apiVersion": "v1", "current": "{'a': true}[data.password]"}),
            json!({"apiVersion": "v1", "current": "false", "message": "self.metadata.annotations.map(k, self.metadata.annotations[k]).join()"}),
        ] {
            let (found, message) = status(&rules(json!([rule])), &secret);
            assert_eq!(found, HealthStatus::Progressing);
            assert!(!message.contains("hunter2"), "{message}");
        }
        let keys = json!([{"apiVersion": "v1", "kind": "Secret", "current": "has(data.password) && data.password != '' && data.empty == ''"}]);
        assert_eq!(status(&rules(keys), &secret).0, HealthStatus::Healthy);
    }

    #[test]
    fn published_rules_judge_what_their_controllers_write() {
        let rules = rules(json!([
            // cert-manager: an issuer that cannot register with its authority says so in Ready, and may retry.
            {"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer",
             "inProgress": "!has(self.status) || !has(status.conditions)",
             "failed": "status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'False')",
             "current": "status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'True')"},
            // Bitnami's SealedSecret has no condition Ready.
            {"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
             "failed": "status.conditions.filter(e, e.type == 'Synced').all(e, e.status == 'False')",
             "current": "status.conditions.filter(e, e.type == 'Synced').all(e, e.status == 'True')"},
            // Cluster API.
            {"apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "Cluster",
             "failed": "status.phase == 'Failed'", "current": "status.?controlPlaneReady.orValue(false) && status.?infrastructureReady.orValue(false)"},
        ]));
        let object = |api: &str, kind: &str, status: Value| {
            json!({"apiVersion": api, "kind": kind,
            "metadata": {"name": "x", "generation": 1}, "status": status})
        };
        let conditions = |kind: &str, status: &str, message: &str| {
            json!({"observedGeneration": 1, "conditions": [
                {"type": kind, "status": status, "reason": "R", "message": message}]})
        };
        let issuer = ("cert-manager.io/v1", "ClusterIssuer");
        let sealed = ("bitnami.com/v1alpha1", "SealedSecret");
        let cluster = ("cluster.x-k8s.io/v1beta1", "Cluster");
        for ((api, kind), status, expected) in [
            (issuer, conditions("Ready", "True", "registered"), HealthStatus::Healthy),
            (issuer, conditions("Ready", "False", "cannot register"), HealthStatus::Degraded),
            (issuer, conditions("Ready", "Unknown", ""), HealthStatus::Progressing),
            (issuer, json!({}), HealthStatus::Progressing),
            (sealed, conditions("Synced", "True", ""), HealthStatus::Healthy),
            (sealed, conditions("Synced", "False", "no key could decrypt secret"), HealthStatus::Degraded),
            (sealed, json!({"observedGeneration": 1}), HealthStatus::Progressing),
            (cluster, json!({"phase": "Provisioning"}), HealthStatus::Progressing),
            (cluster, json!({"phase": "Failed"}), HealthStatus::Degraded),
            (
                cluster,
                json!({"phase": "Provisioned", "controlPlaneReady": true, "infrastructureReady": true}),
                HealthStatus::Healthy,
            ),
        ] {
            let found = rules.health(&object(api, kind, status.clone()));
            assert_eq!(found.status, expected, "{kind} {status}: {}", found.message);
        }
    }

    #[test]
    fn equal_rules_are_compiled_once() {
        let (compiled, source) = (CompiledRules::default(), |current: &str| {
            vec![HealthCheckExpr {
                api_version: "v1".into(),
                current: current.into(),
                ..HealthCheckExpr::default()
            }]
        });
        let one = compiled.get(&source("true"));
        assert!(Arc::ptr_eq(&one, &compiled.get(&source("true"))));
        assert!(!Arc::ptr_eq(&one, &compiled.get(&source("false"))));
        assert_eq!(compiled.0.lock().len(), 2);
        drop(compiled.get(&[]));
        compiled.get(&source("true"));
        assert_eq!(compiled.0.lock().len(), 1, "what nobody uses any more is forgotten");
    }
}
