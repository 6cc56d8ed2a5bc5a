//! Webhook configurations and policies.

use serde_json::{Value, json};

use super::{merged, on_create, on_update};

const GROUP: &str = "admissionregistration.k8s.io";

fn hook() -> Value {
    json!({"name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
           "clientConfig": {"service": {"namespace": "n", "name": "s", "path": "/check"}},
           "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]})
}

#[test]
fn webhooks_can_be_called_and_say_about_what() {
    let hooks = |patch: Value| json!({"webhooks": [merged(&hook(), &patch)]});
    let rule = |patch: Value| hooks(json!({"rules": [merged(&hook()["rules"][0], &patch)]}));
    let base = json!({"metadata": {"name": "w"}, "webhooks": [hook()]});
    let cases: Vec<(Value, &[&str])> = vec![
        (hooks(json!({"clientConfig": {"service": null, "url": "https://example.com/check"}})), &[]),
        (
            hooks(json!({"name": "a.b"})),
            &[
                "webhooks[0].name: Invalid value: \"a.b\": should be a domain with at least three segments separated by dots",
            ],
        ),
        (
            hooks(json!({"sideEffects": "Some", "timeoutSeconds": 31, "failurePolicy": "x"})),
            &[
                "webhooks[0].failurePolicy: Unsupported value: \"x\": supported values: \"Fail\", \"Ignore\"",
                "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
                "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
            ],
        ),
        (
            hooks(json!({"sideEffects": null, "admissionReviewVersions": null})),
            &[
                "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
                "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
            ],
        ),
        (
            hooks(json!({"clientConfig": {"url": "https://example.com"}})),
            &["webhooks[0].clientConfig: Required value: exactly one of url or service is required"],
        ),
        (
            hooks(json!({"clientConfig": {"service": null, "url": "http://u@example.com/a?b=c#d"}})),
            &[
                "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
                "webhooks[0].clientConfig.url: Invalid value: \"u\": user information is not permitted in the URL",
                "webhooks[0].clientConfig.url: Invalid value: \"d\": fragments are not permitted in the URL",
                "webhooks[0].clientConfig.url: Invalid value: \"b=c\": query parameters are not permitted in the URL",
            ],
        ),
        (
            hooks(json!({"clientConfig": {"service": {"path": "a/b"}}})),
            &[
                "webhooks[0].clientConfig.service.path: Invalid value: \"a/b\": must start with a '/'",
                "webhooks[0].clientConfig.service.path: Invalid value: \"a/b\": segment[0] may not be empty",
            ],
        ),
        (rule(json!({"resources": ["*/*"], "apiGroups": ["*"], "operations": ["*"]})), &[]),
        (
            rule(json!({"resources": ["*", "pods"], "apiVersions": ["*", "v1"], "operations": ["READ"]})),
            &[
                "webhooks[0].rules[0].operations[0]: Unsupported value: \"READ\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"DELETE\", \"UPDATE\"",
                "webhooks[0].rules[0].apiVersions: Invalid value: [\"*\",\"v1\"]: if '*' is present, must not specify other API versions",
                "webhooks[0].rules[0].resources: Invalid value: [\"*\",\"pods\"]: if '*' is present, must not specify other resources without subresources",
            ],
        ),
        (json!({"webhooks": [hook(), hook()]}), &["webhooks[1].name: Duplicate value: \"a.example.com\""]),
        (
            hooks(json!({"matchConditions": [{"name": "c", "expression": "1 +"}]})),
            &[
                "webhooks[0].matchConditions[0].expression: Invalid value: \"1 +\": compilation failed: ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | 1 +\n | ...^",
            ],
        ),
    ];
    for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
        // Printed as it is, not as a cause of a Status.
        let cases: Vec<(Value, &[&str])> = cases.clone();
        on_create(GROUP, kind, &base, &cases);
        // What was wrong before stays accepted.
        let old = json!({"metadata": {"name": "w"}, "webhooks": [merged(&hook(), &json!({"sideEffects": "Some"}))]});
        on_update(GROUP, kind, &old, &[(json!({"metadata": {"labels": {"a": "b"}}}), &[])]);
        on_update(
            GROUP,
            kind,
            &base,
            &[(
                hooks(json!({"sideEffects": "Some"})),
                &[
                    "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
                ],
            )],
        );
    }
}

#[test]
fn policies_have_something_to_match_and_to_say() {
    let base = json!({"metadata": {"name": "p.example.com"}, "spec": {
        "matchConstraints": {"resourceRules": hook()["rules"]},
        "variables": [{"name": "few", "expression": "object.spec.replicas <= 5"}],
        "validations": [{"expression": "variables.few || object.metadata.?labels[?'big'].orValue('') == 'yes'"}]}});
    let spec = |patch: Value| json!({"spec": patch});
    on_create(
        GROUP,
        "ValidatingAdmissionPolicy",
        &base,
        &[
            (spec(json!({"matchConstraints": null})), &["spec.matchConstraints: Required value"]),
            (
                spec(json!({"matchConstraints": {"resourceRules": []}})),
                &["spec.matchConstraints.resourceRules: Required value"],
            ),
            (
                spec(json!({"validations": []})),
                &[
                    "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
                    "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
                ],
            ),
            (
                spec(json!({"variables": [{"name": "in", "expression": ""}]})),
                &[
                    "spec.variables[0].name: Invalid value: \"in\": name is not a valid CEL identifier",
                    "spec.variables[0].expression: Required value: expression is not specified",
                ],
            ),
            (
                spec(
                    json!({"validations": [{"expression": "true", "message": "a\nb", "reason": "Because"}]}),
                ),
                &[
                    "spec.validations[0].message: Invalid value: \"a\\nb\": message must not contain line breaks",
                    "spec.validations[0].reason: Unsupported value: \"Because\": supported values: \"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\"",
                ],
            ),
            (
                spec(json!({"paramKind": {"apiVersion": "a/b/c", "kind": ""}})),
                &[
                    "spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
                    "spec.paramKind.kind: Required value",
                ],
            ),
            (
                spec(
                    json!({"auditAnnotations": [{"key": "k", "valueExpression": "'v'"}, {"key": "k", "valueExpression": "'w'"}]}),
                ),
                &["spec.auditAnnotations[1].key: Duplicate value: \"k\""],
            ),
        ],
    );
    let base = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}});
    on_create(
        GROUP,
        "ValidatingAdmissionPolicyBinding",
        &base,
        &[
            (spec(json!({"policyName": null})), &["spec.policyName: Required value"]),
            (
                spec(json!({"validationActions": []})),
                &["spec.validationActions: Required value: at least one validation action is required"],
            ),
            (
                spec(json!({"validationActions": ["Deny", "Warn", "Nod"]})),
                &[
                    "spec.validationActions[2]: Unsupported value: \"Nod\": supported values: \"Audit\", \"Deny\", \"Warn\"",
                    "spec.validationActions: Invalid value: [\"Deny\",\"Warn\",\"Nod\"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)",
                ],
            ),
            (
                spec(json!({"paramRef": {"name": "a", "selector": {}}})),
                &[
                    "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
                    "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
                    "spec.paramRef.parameterNotFoundAction: Required value",
                ],
            ),
        ],
    );
}
