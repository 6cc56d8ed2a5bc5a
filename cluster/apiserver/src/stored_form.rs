//! Objects as the database holds them when the server starts: written by this release, by another one, or damaged.
//!
//! One object that typed clients cannot decode fails their whole list, and with it everything that they do. So each
//! object is looked at once, in the way in which a request's body is: what Go reads in spite of its form is brought
//! into the form in which it would be stored now, what nobody could read is left out of lists and watches, and told.

use std::collections::HashMap;
use std::sync::Arc;

use seaway_kinds::quantity::Quantity;
use seaway_merge::check;
use seaway_merge::schema::{Shape, TypeRef, object_meta};
use serde_json::Value;

use crate::catalog::Served;
use crate::resources::quantities;

/// What the built-in kinds look like.
pub(crate) struct StoredForms<'a> {
    /// By storage key and `apiVersion`.
    builtin: HashMap<(&'a str, String), &'a Served>,
}

impl<'a> StoredForms<'a> {
    pub(crate) fn new(builtin: &'a [Arc<Served>]) -> Self {
        let places = builtin.iter().map(|served| ((&*served.storage, served.api_version()), &**served));
        Self { builtin: places.collect() }
    }

    /// Brings an object into the form in which it would be stored now; or says why clients could not read it.
    pub(crate) fn examine(&self, resource: &str, value: &mut Value) -> Result<(), String> {
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let Some(served) = self.builtin.get(&(resource, api_version.clone())) else {
            if self.builtin.keys().any(|(storage, _)| *storage == resource) {
                return Err(format!("it is stored as {api_version:?}, which this release does not know"));
            }
            return custom(value);
        };
        if kind != served.kind() {
            return Err(format!("it is stored as a {kind:?} and not as a {}", served.kind()));
        }
        if let Some(problem) = check::wrong_types(value, &served.schema).first() {
            return Err(format!("{}: expected {}, got {}", problem.path, problem.expected, problem.got));
        }
        quantities(value, &served.schema).map_err(|error| error.to_string())?;
        check::normalize(value, &served.schema);
        write_quantities(value, &served.schema);
        seaway_protobuf::canonical(value);
        Ok(())
    }
}

/// Quantities that are numbers, as texts: Go reads both and writes texts.
fn write_quantities(value: &mut Value, ty: &TypeRef) {
    match (&ty.shape, &mut *value) {
        (Shape::Quantity, Value::Number(_)) => {
            if let Ok(quantity) = Quantity::from_value(value) {
                *value = quantity.to_string().into();
            }
        }
        (Shape::Object(object), Value::Object(map)) => {
            for (name, child) in map {
                let field = object.fields.get(name).map(|field| &field.ty);
                if let Some(ty) = field.or(object.additional.as_ref()) {
                    write_quantities(child, ty);
                }
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            items.iter_mut().for_each(|item| write_quantities(item, &list.element));
        }
        _ => {}
    }
}

/// Of a custom object every client reads the metadata alike; the rest is as its definition has it.
fn custom(value: &mut Value) -> Result<(), String> {
    let ty = object_meta();
    if let Some(problem) = check::wrong_types(&value["metadata"], &ty).first() {
        return Err(format!("metadata.{}: expected {}, got {}", problem.path, problem.expected, problem.got));
    }
    check::normalize(&mut value["metadata"], &ty);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn what_typed_clients_cannot_decode_is_told_and_what_go_would_read_is_put_right() {
        let builtin = crate::catalog::builtin_resources();
        let forms = StoredForms::new(&builtin);
        let examined =
            |resource: &str, mut object: Value| forms.examine(resource, &mut object).map(|()| object);
        let deployment = |replicas: Value| {
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "b"},
                "spec": {"replicas": replicas, "selector": {}, "template": {"spec": {"containers": [
                    {"name": "c", "args": ["x", null], "resources": {"limits": {"cpu": 2}}}]}}}})
        };
        let good = examined("apps/deployments", deployment(3.0.into())).unwrap();
        assert_eq!(good["spec"]["replicas"], 3);
        let container = &good["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["args"], json!(["x", ""]));
        assert_eq!(container["resources"]["limits"]["cpu"], "2");
        // Typed clients agree.
        serde_json::from_value::<k8s_openapi::api::apps::v1::Deployment>(good).unwrap();

        let error = examined("apps/deployments", deployment(99_999_999_999_i64.into())).unwrap_err();
        assert!(error.contains("spec.replicas") && error.contains("int32"), "{error}");
        let mut old = deployment(1.into());
        old["apiVersion"] = "extensions/v1beta1".into();
        assert!(examined("apps/deployments", old).unwrap_err().contains("extensions/v1beta1"));
        let mut other = deployment(1.into());
        other["kind"] = "Pod".into();
        assert!(examined("apps/deployments", other).is_err());

        let widget = |created: &str| {
            json!({"apiVersion": "example.com/v1", "kind": "Widget", "spec": {"anything": [null]},
                "metadata": {"name": "a", "creationTimestamp": created}})
        };
        assert!(examined("example.com/widgets", widget("2026-11-28T05:44:31Z")).is_ok());
        assert!(
            examined("example.com/widgets", widget("yesterday")).unwrap_err().contains("creationTimestamp")
        );
    }
}
