//! The schema of Environments.

use serde_json::{Value, json};

use super::schema::*;

pub(super) fn environment() -> Value {
    let destination = object(
        "Where the objects go.",
        &["namespace"],
        json!({
            "cluster": {"type": "string", "default": "local", "enum": ["local"],
                        "description": "local is the cluster that holds the Environment."},
            "namespace": name("For objects without a namespace."),
            "namespaces": {"type": "array", "maxItems": 64, "description": "Further namespaces that objects may name.",
                           "items": name("A namespace.")},
        }),
    );
    let pin = object(
        "Exactly what a component runs.",
        &["component"],
        json!({
            "component": name("The component."),
            "commit": {"type": "string", "description": "The full commit.", "pattern": "^([0-9a-f]{40}|[0-9a-f]{64})$"},
            "images": {"type": "array", "items": image()},
        }),
    );
    let deviation = object(
        "A deviation of one component from the stack.",
        &["component"],
        json!({
            "component": name("The component."),
            "repo": repository("Another repository, which the stack must allow."),
            "revision": revision("Another revision."),
            "parameters": open("Parameters that replace the stack's, key by key."),
            "images": {"type": "array", "items": image()},
            "expires": {"type": "string", "format": "date-time", "description": "From when on it does not count."},
            "reason": text("Why."),
            "proposal": object(
                "Where it was handed back; once what runs without the override has that, the override ends.",
                &["branch", "commit"],
                json!({
                    "branch": text("The branch."), "commit": text("The full commit that was proposed."),
                    "url": text("The page of the merge request, where a forge is known."),
                }),
            ),
        }),
    );
    let sync = with(
        object(
            "What happens on its own.",
            &[],
            json!({
                "automated": flag("New commits are applied.", true),
                "prune": flag("What left Git is deleted.", true),
                "selfHeal": flag("Changes by others of rendered fields are reverted.", true),
                "allowEmpty": flag("An empty result may delete everything.", false),
                "forceConflicts": flag("Take fields from other appliers.", false),
                "waveTimeoutSeconds": {"type": "integer", "minimum": 1, "maximum": 86400,
                                       "description": "How long a wave may take to become healthy; absent: 300."},
            }),
        ),
        "default",
        json!({}),
    );
    let class = with(
        choice("What the environment is for.", &["production", "staging", "preview", "personal"]),
        "default",
        "staging".into(),
    );
    let spec = object(
        "Where a stack runs, and how.",
        &[],
        json!({
            "stack": name("The stack's name, in the same namespace; a copy has the stack of what it copies."),
            "class": class,
            "copyOf": {"type": "string", "maxLength": 127,
                       "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
                       "description": "The environment that this one is a copy of: NAMESPACE/NAME, or a name in the \
                                       namespace seaway."},
            "components": {"type": "array", "maxItems": 256, "items": name("A component."),
                           "description": "The components that a copy has; absent: all."},
            "follow": choice("What a copy follows where nothing is pinned or overridden: the releases of what it \
                              copies (the default), or the revisions that the stack names.",
                             &["environment", "revision"]),
            "expires": {"type": "string", "format": "date-time",
                        "description": "From when on the environment is deleted with all that is in it."},
            "overlay": {"type": "string", "pattern": "^[^/]+$", "description": "What ${overlay} stands for; absent: the name."},
            "destination": destination,
            "pins": list("component", 256, pin),
            "overrides": list("component", 256, deviation),
            "sync": sync,
            "suspend": flag("Nothing is applied while this is set.", false),
        }),
    );
    let rules = [
        ("!(has(self.copyOf) && self.class == 'production')", "a production environment is not a copy"),
        (
            "has(self.copyOf) || has(self.stack)",
            "name the stack, or the environment that this one is a copy of",
        ),
        (
            "has(self.copyOf) != has(self.destination)",
            "an environment has a destination, unless it is a copy: the \
          namespaces of a copy follow from its name",
        ),
        (
            "has(self.copyOf) || !(has(self.components) || has(self.follow) || has(self.expires))",
            "only a copy has components, follow and expires",
        ),
        (
            "has(self.copyOf) == has(oldSelf.copyOf) && (!has(self.copyOf) || self.copyOf == oldSelf.copyOf)",
            "what an environment is a copy of stays what it is: make another one",
        ),
        (
            "!has(self.destination) || !has(oldSelf.destination) || \
          self.destination.__namespace__ == oldSelf.destination.__namespace__",
            "destination.namespace stays what it is: make another environment there, and delete this one",
        ),
    ];
    let rules = rules.map(|(rule, message)| json!({"rule": rule, "message": message}));
    with(spec, "x-kubernetes-validations", rules.to_vec().into())
}

pub(super) fn environment_status() -> Value {
    let component = object(
        "What a component runs.",
        &["name"],
        json!({
            "name": text("The component."), "repo": text("Its repository."), "commit": text("The full commit."),
        }),
    );
    object(
        "What the environment runs, and how well.",
        &[],
        json!({
            "observedGeneration": observed_generation(),
            "release": text("The release that was last applied as a whole."),
            "revision": text("The commits of that release, shortened."),
            "sync": choice("Whether what runs is what Git says.", &["Synced", "OutOfSync", "Unknown"]),
            "health": choice("How well it runs.",
                &["Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown"]),
            "message": text("What a person should know first."),
            "components": list("name", 256, component),
            "conditions": conditions(),
        }),
    )
}
