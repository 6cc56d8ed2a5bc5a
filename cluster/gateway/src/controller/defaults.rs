//! The class and the Gateway that are there from the start, so that a route
//! only has to name them.

use std::time::Duration;

use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
use serde_json::{Value, json};

use super::kinds::Kind;
use crate::{CONTROLLER_NAME, DEFAULT_CLASS, DEFAULT_GATEWAY, DEFAULT_NAMESPACE, GROUP};

/// The definitions of the kinds may come later: until then, this interval.
const PAUSE: Duration = Duration::from_secs(1);

/// Creates the default objects that do not exist; what exists is left as it is.
pub(crate) async fn create(client: Client, port: u16, tls_port: Option<u16>) {
    let objects = [
        (
            Kind::Namespace,
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": DEFAULT_NAMESPACE}}),
        ),
        (Kind::GatewayClass, gateway_class()),
        (Kind::Gateway, gateway(port, tls_port)),
    ];
    let mut told = String::new();
    for (kind, object) in objects {
        while let Err(error) = create_one(&client, kind, &object).await {
            let absent = matches!(&error, kube::Error::Api(answer) if answer.code == 404);
            let message = error.to_string();
            if !absent && told != message {
                tracing::warn!(?kind, error = %message, "cannot create the default object; trying again");
                told = message;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn create_one(client: &Client, kind: Kind, object: &Value) -> Result<(), kube::Error> {
    let resource = kind.resource();
    let api: Api<DynamicObject> = match kind {
        Kind::Gateway => Api::namespaced_with(client.clone(), DEFAULT_NAMESPACE, &resource),
        _ => Api::all_with(client.clone(), &resource),
    };
    let object: DynamicObject = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
    match api.create(&PostParams::default(), &object).await {
        Err(kube::Error::Api(answer)) if answer.is_already_exists() => Ok(()),
        created => created.map(drop),
    }
}

fn gateway_class() -> Value {
    json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "GatewayClass",
        "metadata": {"name": DEFAULT_CLASS},
        "spec": {"controllerName": CONTROLLER_NAME, "description": "The gateway of Seaway on this machine"},
    })
}

fn gateway(port: u16, tls_port: Option<u16>) -> Value {
    let open = json!({"namespaces": {"from": "All"}});
    let mut listeners =
        vec![json!({"name": "http", "port": port, "protocol": "HTTP", "allowedRoutes": open})];
    if let Some(port) = tls_port {
        listeners.push(json!({
            "name": "https", "port": port, "protocol": "HTTPS", "allowedRoutes": open,
            // A listener that terminates TLS has to say with what.
            "tls": {"mode": "Terminate", "options": {"seaway.dev/certificate": "gateway"}},
        }));
    }
    json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "Gateway",
        "metadata": {"name": DEFAULT_GATEWAY, "namespace": DEFAULT_NAMESPACE},
        "spec": {"gatewayClassName": DEFAULT_CLASS, "listeners": listeners},
    })
}
