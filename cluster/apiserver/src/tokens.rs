//! ServiceAccount tokens: signed, bound to an account and optionally to a pod, secret or node, with an end.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::identity::Identity;
use crate::pki::Secret;
use crate::store::Entry;

/// Issuer and default audience, as clusters made by kubeadm use them.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// A named object with its UID.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Bound {
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// The private claims below `kubernetes.io`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Private {
    pub(crate) namespace: String,
    pub(crate) serviceaccount: Bound,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<Bound>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Bound>,
    /// The node that the token is bound to, or else that of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<Bound>,
}

/// What a token says (RFC 7519 and the private claims of bound tokens).
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    pub(crate) aud: Vec<String>,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) jti: String,
    #[serde(rename = "kubernetes.io")]
    pub(crate) kubernetes: Private,
}

/// What a token ends with, besides its account.
pub(crate) enum BoundTo {
    Nothing,
    /// A pod, and the node that it is on; the token ends with the pod alone (KEP-4193).
    Pod(Bound, Option<Bound>),
    Secret(Bound),
    Node(Bound),
}

impl Claims {
    /// The claims of a new token of an account.
    pub(crate) fn new(
        account: &Entry,
        audiences: Vec<String>,
        now: jiff::Timestamp,
        life: jiff::SignedDuration,
        bound: BoundTo,
    ) -> Self {
        let key = &account.key;
        let (pod, secret, node) = match bound {
            BoundTo::Nothing => (None, None, None),
            BoundTo::Pod(pod, node) => (Some(pod), None, node),
            BoundTo::Secret(secret) => (None, Some(secret), None),
            BoundTo::Node(node) => (None, None, Some(node)),
        };
        Self {
            iss: ISSUER.into(),
            sub: format!("system:serviceaccount:{}:{}", key.namespace, key.name),
            aud: audiences,
            exp: now.as_second().saturating_add(life.as_secs()),
            iat: now.as_second(),
            nbf: now.as_second(),
            jti: uuid::Uuid::new_v4().to_string(),
            kubernetes: Private {
                namespace: key.namespace.clone(),
                serviceaccount: Bound { name: key.name.clone(), uid: account.meta.uid.clone() },
                pod,
                secret,
                node,
            },
        }
    }

    /// The user that the token stands for.
    pub(crate) fn identity(&self) -> Identity {
        let private = &self.kubernetes;
        let mut identity = Identity::service_account(&private.namespace, &private.serviceaccount.name);
        identity.uid = private.serviceaccount.uid.clone();
        let mut extra = BTreeMap::from([(
            "authentication.kubernetes.io/credential-id".to_owned(),
            vec![format!("JTI={}", self.jti)],
        )]);
        for (what, bound) in [("pod", &private.pod), ("node", &private.node)] {
            let Some(bound) = bound else { continue };
            let mut insert = |field: &str, value: &str| {
                extra.insert(format!("authentication.kubernetes.io/{what}-{field}"), vec![value.to_owned()]);
            };
            insert("name", &bound.name);
            if !bound.uid.is_empty() {
                insert("uid", &bound.uid);
            }
        }
        identity.extra = extra;
        identity
    }
}

/// Signs and checks tokens with the data folder's key.
pub(crate) struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    /// The public key as others verify with it.
    pub(crate) key_set: Value,
}

impl Tokens {
    /// From a PKCS#8 PEM of an ECDSA P-256 key.
    pub(crate) fn new(key_pem: &Secret) -> Result<Self, String> {
        let encoding = EncodingKey::from_ec_pem(key_pem.expose().as_bytes()).map_err(|e| e.to_string())?;
        let public = rcgen::KeyPair::from_pem(key_pem.expose()).map_err(|e| e.to_string())?;
        let decoding =
            DecodingKey::from_ec_pem(public.public_key_pem().as_bytes()).map_err(|e| e.to_string())?;
        // An uncompressed point (SEC 1): 4, x and y.
        let point = public.public_key_raw();
        let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else {
            return Err("the key is no ECDSA P-256 key".into());
        };
        let key_set = json!({"keys": [{"use": "sig", "kty": "EC", "alg": "ES256", "crv": "P-256",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)}]});
        Ok(Self { encoding, decoding, key_set })
    }

    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, String> {
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), claims, &self.encoding)
            .map_err(|e| e.to_string())
    }

    /// Checks signature, issuer and times; the caller checks that the account still exists.
    pub(crate) fn verify(&self, token: &str, audiences: &[String]) -> Result<Claims, String> {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(audiences);
        validation.validate_nbf = true;
        validation.leeway = 0;
        jsonwebtoken::decode::<Claims>(token, &self.decoding, &validation)
            .map(|data| data.claims)
            .map_err(|e| e.to_string())
    }
}
