//! Services, ingresses, policies, endpoints.

use serde_json::{Value, json};

use super::{LABEL_1035, SUBDOMAIN, merged, on_create, on_update};

#[test]
fn services() {
    let base = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}});
    let ports = |ports: Value| json!({"spec": {"ports": ports}});
    on_create(
        "",
        "Service",
        &base,
        &[
            (json!({"spec": {"ports": null}}), &["spec.ports: Required value"]),
            (json!({"spec": {"ports": null, "clusterIP": "None"}}), &[]),
            (
                json!({"spec": {"type": "X"}}),
                &[
                    "spec.type: Unsupported value: \"X\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
                ],
            ),
            (json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}}), &[]),
            (json!({"spec": {"type": "LoadBalancer"}}), &[]),
            (
                json!({"spec": {"type": "NodePort", "clusterIP": "None"}}),
                &[
                    "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services",
                ],
            ),
            (json!({"spec": {"type": "ExternalName", "externalName": "a.b."}}), &[]),
            (json!({"spec": {"type": "ExternalName"}}), &["spec.externalName: Required value"]),
            (
                ports(json!([{"port": 0}])),
                &[
                    "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                    "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
                ],
            ),
            (
                ports(json!([{"port": 80}, {"port": 81, "name": "b"}])),
                &["spec.ports[0].name: Required value"],
            ),
            (
                ports(json!([{"port": 80, "name": "a"}, {"port": 81, "name": "a"}])),
                &["spec.ports[1].name: Duplicate value: \"a\""],
            ),
            (
                ports(json!([{"port": 80, "name": "a"}, {"port": 80, "name": "b"}])),
                &["spec.ports[1]: Duplicate value: {\"port\":80,\"protocol\":\"TCP\"}"],
            ),
            (
                ports(json!([{"port": 80, "nodePort": 30000}])),
                &["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
            ),
            (
                ports(json!([{"port": 80, "targetPort": "A"}])),
                &[
                    "spec.ports[0].targetPort: Invalid value: \"A\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
                    "spec.ports[0].targetPort: Invalid value: \"A\": must contain at least one letter (a-z)",
                ],
            ),
            (
                json!({"spec": {"sessionAffinity": "x"}}),
                &["spec.sessionAffinity: Unsupported value: \"x\": supported values: \"ClientIP\", \"None\""],
            ),
            (
                json!({"spec": {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}}}),
                &[
                    "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than 86400",
                ],
            ),
            (
                json!({"spec": {"clusterIP": "x"}}),
                &[
                    "spec.clusterIPs[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                ],
            ),
            (
                json!({"spec": {"ipFamilies": ["IPv5"]}}),
                &["spec.ipFamilies[0]: Unsupported value: \"IPv5\": supported values: \"IPv4\", \"IPv6\""],
            ),
            (
                json!({"spec": {"externalIPs": ["127.0.0.1"]}}),
                &[
                    "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
                ],
            ),
            (
                json!({"spec": {"externalTrafficPolicy": "Local"}}),
                &[
                    "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
                ],
            ),
            (
                json!({"spec": {"internalTrafficPolicy": "x"}}),
                &[
                    "spec.internalTrafficPolicy: Unsupported value: \"x\": supported values: \"Cluster\", \"Local\"",
                ],
            ),
            (
                json!({"spec": {"loadBalancerClass": "a/b"}}),
                &["spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"],
            ),
        ],
    );
    let stored = merged(
        &base,
        &json!({"spec": {"clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}}),
    );
    on_update(
        "",
        "Service",
        &stored,
        &[
            (json!({"spec": {"type": "NodePort"}}), &[]),
            (
                json!({"spec": {"type": "ExternalName", "externalName": "a.b", "clusterIP": "", "clusterIPs": null}}),
                &[],
            ),
            (
                json!({"spec": {"clusterIP": "10.96.0.2"}}),
                &["spec.clusterIPs[0]: Invalid value: [\"10.96.0.2\"]: may not change once set"],
            ),
            (
                json!({"spec": {"clusterIP": "", "clusterIPs": []}}),
                &["spec.clusterIPs[0]: Invalid value: []: primary clusterIP can not be unset"],
            ),
        ],
    );
}

#[test]
fn ingresses() {
    let base = json!({"metadata": {"name": "i"}, "spec": {"rules": [{"host": "a.b", "http": {"paths": [
        {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}]}});
    let path = |patch: Value| {
        let base = json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}});
        json!({"spec": {"rules": [{"http": {"paths": [merged(&base, &patch)]}}]}})
    };
    let host = |host: &str| json!({"spec": {"rules": [{"host": host}]}});
    on_create(
        "networking.k8s.io",
        "Ingress",
        &base,
        &[
            (
                json!({"spec": {"rules": null}}),
                &["spec: Invalid value: []: either `defaultBackend` or `rules` must be specified"],
            ),
            (host("*.a.b"), &[]),
            (
                host("1.2.3.4"),
                &["spec.rules[0].host: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address"],
            ),
            (host("A"), &[&format!("spec.rules[0].host: Invalid value: \"A\": {SUBDOMAIN}")]),
            (
                path(json!({"pathType": null})),
                &["spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"],
            ),
            (
                path(json!({"pathType": "x"})),
                &[
                    "spec.rules[0].http.paths[0].pathType: Unsupported value: \"x\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\"",
                ],
            ),
            (
                path(json!({"path": "a//b"})),
                &[
                    "spec.rules[0].http.paths[0].path: Invalid value: \"a//b\": must be an absolute path",
                    "spec.rules[0].http.paths[0].path: Invalid value: \"a//b\": must not contain '//'",
                ],
            ),
            (
                path(json!({"backend": {"service": null}})),
                &[
                    "spec.rules[0].http.paths[0].backend: Invalid value: \"\": resource or service backend is required",
                ],
            ),
            (
                path(json!({"backend": {"service": {"port": {"number": null}}}})),
                &["spec.rules[0].http.paths[0].backend: Required value: port name or number is required"],
            ),
            (
                path(json!({"backend": {"service": {"name": "1"}}})),
                &[&format!(
                    "spec.rules[0].http.paths[0].backend.service.name: Invalid value: \"1\": {LABEL_1035}"
                )],
            ),
            (
                json!({"spec": {"tls": [{"hosts": ["A"]}]}}),
                &[&format!("spec.tls[0].hosts[0]: Invalid value: \"A\": {SUBDOMAIN}")],
            ),
        ],
    );
    let class = json!({"metadata": {"name": "c"}, "spec": {"controller": "a.b/c"}});
    on_create(
        "networking.k8s.io",
        "IngressClass",
        &class,
        &[(
            json!({"spec": {"controller": "x"}}),
            &[
                "spec.controller: Invalid value: \"x\": must be a domain-prefixed path (such as \"acme.io/foo\")",
            ],
        )],
    );
    on_update(
        "networking.k8s.io",
        "IngressClass",
        &class,
        &[(
            json!({"spec": {"controller": "a.b/d"}}),
            &["spec.controller: Invalid value: \"a.b/d\": field is immutable"],
        )],
    );
}

#[test]
fn network_policies() {
    let base = json!({"metadata": {"name": "p"}, "spec": {"podSelector": {}, "ingress": [
        {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": 80, "endPort": 90}]}]}});
    let from = |peer: Value| json!({"spec": {"ingress": [{"from": [peer]}]}});
    let port = |port: Value| json!({"spec": {"ingress": [{"ports": [port]}]}});
    on_create(
        "networking.k8s.io",
        "NetworkPolicy",
        &base,
        &[
            (from(json!({"podSelector": {}, "namespaceSelector": {}})), &[]),
            (from(json!({})), &["spec.ingress[0].from[0]: Required value: must specify a peer"]),
            (
                from(json!({"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}})),
                &["spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer"],
            ),
            (
                from(json!({"ipBlock": {"cidr": "10.0.0.0"}})),
                &[
                    "spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"10.0.0.0\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
                ],
            ),
            (
                from(json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}})),
                &[
                    "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`",
                ],
            ),
            (port(json!({"port": "http"})), &[]),
            (
                port(json!({"port": 80, "endPort": 70})),
                &[
                    "spec.ingress[0].ports[0].endPort: Invalid value: 70: must be greater than or equal to `port`",
                ],
            ),
            (
                port(json!({"protocol": "x"})),
                &[
                    "spec.ingress[0].ports[0].protocol: Unsupported value: \"x\": supported values: \"TCP\", \"UDP\", \"SCTP\"",
                ],
            ),
            (
                json!({"spec": {"policyTypes": ["x"]}}),
                &["spec.policyTypes[0]: Unsupported value: \"x\": supported values: \"Ingress\", \"Egress\""],
            ),
        ],
    );
}

#[test]
fn endpoints() {
    let base = json!({"metadata": {"name": "s"}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]});
    on_create(
        "discovery.k8s.io",
        "EndpointSlice",
        &base,
        &[
            (json!({"addressType": null}), &["addressType: Required value"]),
            (
                json!({"endpoints": [{"addresses": []}]}),
                &["endpoints[0].addresses: Required value: must contain at least 1 address"],
            ),
            (
                json!({"endpoints": [{"addresses": ["::1"]}]}),
                &["endpoints[0].addresses[0]: Invalid value: \"::1\": must be a valid IPv4 address"],
            ),
            (json!({"ports": [{"port": 1}, {"port": 2}]}), &["ports[1].name: Duplicate value: \"\""]),
            (
                json!({"endpoints": vec![json!({"addresses": ["10.0.0.1"]}); 1001]}),
                &["endpoints: Too many: 1001: must have at most 1000 items"],
            ),
        ],
    );
    on_update(
        "discovery.k8s.io",
        "EndpointSlice",
        &base,
        &[(
            json!({"addressType": "IPv6", "endpoints": []}),
            &["addressType: Invalid value: \"IPv6\": field is immutable"],
        )],
    );
    let old = json!({"metadata": {"name": "s"}, "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]});
    on_create(
        "",
        "Endpoints",
        &old,
        &[
            (
                json!({"subsets": [{"ports": [{"port": 80}]}]}),
                &["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"],
            ),
            (
                json!({"subsets": [{"addresses": [{"ip": "169.254.1.1"}]}]}),
                &[
                    "subsets[0].addresses[0].ip: Invalid value: \"169.254.1.1\": may not be in the link-local range (169.254.0.0/16, fe80::/10)",
                ],
            ),
        ],
    );
}

#[test]
fn services_live_in_a_cluster_of_one_family_and_its_ranges() {
    let base = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}});
    let node_port =
        |port: i64| json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}});
    on_create(
        "",
        "Service",
        &base,
        &[
            (json!({"spec": {"ipFamilyPolicy": "PreferDualStack"}}), &[]),
            (
                json!({"spec": {"ipFamilyPolicy": "RequireDualStack"}}),
                &[
                    "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services",
                ],
            ),
            (
                json!({"spec": {"ipFamilies": ["IPv6"]}}),
                &["spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster"],
            ),
            (
                json!({"spec": {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "SingleStack"}}),
                &[
                    "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be RequireDualStack or PreferDualStack when multiple IP families are specified",
                ],
            ),
            (
                json!({"spec": {"clusterIP": "fd00::1"}}),
                &[
                    "spec.clusterIPs[0]: Invalid value: [\"fd00::1\"]: may not use IPv6 on a cluster which is not configured for it",
                ],
            ),
            // Whose endpoints are somebody else's business.
            (json!({"spec": {"clusterIP": "None", "selector": null, "ipFamilies": ["IPv6"]}}), &[]),
            (json!({"spec": {"clusterIP": "10.96.200.7"}}), &[]),
            (
                json!({"spec": {"clusterIP": "10.200.0.1"}}),
                &[
                    "spec.clusterIPs: Invalid value: [\"10.200.0.1\"]: failed to allocate IP 10.200.0.1: the provided network does not match the current range",
                ],
            ),
            (
                json!({"spec": {"clusterIP": "10.96.255.255"}}),
                &[
                    "spec.clusterIPs: Invalid value: [\"10.96.255.255\"]: failed to allocate IP 10.96.255.255: the provided IP (10.96.255.255) is not in the valid range. The range of valid IPs is 10.96.0.0/16",
                ],
            ),
            (node_port(32_767), &[]),
            (
                node_port(8080),
                &[
                    "spec.ports[0].nodePort: Invalid value: 8080: provided port is not in the valid range. The range of valid ports is 30000-32767",
                ],
            ),
            (
                json!({"spec": {"trafficDistribution": "x"}}),
                &[
                    "spec.trafficDistribution: Unsupported value: \"x\": supported values: \"PreferClose\", \"PreferSameNode\", \"PreferSameZone\"",
                ],
            ),
        ],
    );
    // What was given out before the range was looked at stays.
    let old = merged(&base, &merged(&node_port(8080), &json!({"spec": {"clusterIP": "10.200.0.1"}})));
    on_update("", "Service", &old, &[(json!({"metadata": {"labels": {"a": "b"}}}), &[])]);
    let headless = merged(&base, &json!({"spec": {"clusterIP": "None", "selector": null}}));
    on_update("", "Service", &headless, &[(json!({"spec": {"ipFamilies": ["IPv6", "IPv4"]}}), &[])]);
}
