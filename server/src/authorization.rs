//! Whether a person may do something: a question to Kubernetes RBAC, asked as that person.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{Api, PostParams};
use seaway_sync::view::{EnvironmentKey, EnvironmentView};

use crate::accounts::{Scope, SessionKey};
use crate::authentication::Identity;
use crate::permissions::{self, ACCOUNTS, AUDIT, GROUP, RESOURCE, STACKS, Verb};
use crate::problem::Problem;

/// A client of the Kubernetes API that acts as a person. An error means that nobody can act under that name.
pub type ClientFor = Arc<dyn Fn(&Identity) -> kube::Result<kube::Client> + Send + Sync>;

/// Acts as people by impersonation, as the account of this client; [`crate::account_rules`] are the rights it needs.
pub fn impersonation(client: kube::Client) -> ClientFor {
    Arc::new(move |person| {
        let value = |text: &str| {
            HeaderValue::from_bytes(text.as_bytes()).map_err(|error| kube::Error::Service(Box::new(error)))
        };
        let user = value(&person.name)?;
        // Everybody is authenticated: the API adds that group by itself.
        let groups = person.groups.iter().filter(|group| *group != "system:authenticated");
        let groups: Vec<HeaderValue> = groups.map(|group| value(group)).collect::<kube::Result<_>>()?;
        let inner = client.clone();
        let service = tower::service_fn(move |mut request: http::Request<kube::client::Body>| {
            let headers = request.headers_mut();
            headers.insert("impersonate-user", user.clone());
            headers.remove("impersonate-group");
            for group in &groups {
                headers.append("impersonate-group", group.clone());
            }
            let inner = inner.clone();
            async move { inner.send(request).await }
        });
        Ok(kube::Client::new(service, client.default_namespace()))
    })
}

/// A person, with the way to ask what he or she may do.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) identity: Identity,
    /// Acts as the person.
    pub(crate) client: kube::Client,
    /// The session or token that says who it is, if one does. What lasts longer than one answer ends with it.
    pub(crate) session: Option<SessionKey>,
    /// What the token that says who it is may be used for; absent: for everything.
    pub(crate) scopes: Option<Vec<Scope>>,
    /// From where the person asks.
    pub(crate) address: Option<IpAddr>,
}

impl Person {
    /// # Errors
    /// 403 when nobody can act under that name.
    pub(crate) fn new(identity: Identity, client_for: &ClientFor) -> Result<Self, Problem> {
        match client_for(&identity) {
            Ok(client) => Ok(Self { identity, client, session: None, scopes: None, address: None }),
            Err(error) => Err(Problem::forbidden(format!("nobody can act as {:?}: {error}", identity.name))),
        }
    }

    /// Whether the person may do this with an environment: by its namespace and name, or by its stack and class as far
    /// as it is known.
    pub(crate) async fn may_with(
        &self,
        verb: Verb,
        key: &EnvironmentKey,
        known: Option<&EnvironmentView>,
    ) -> Result<bool, Problem> {
        if self.may(verb, &key.namespace, &key.name).await? {
            return Ok(true);
        }
        match known {
            Some(known) => self.may_within(verb, known).await,
            None => Ok(false),
        }
    }

    /// Whether the person may do this with the environments of this one's stack and class.
    async fn may_within(&self, verb: Verb, environment: &EnvironmentView) -> Result<bool, Problem> {
        if !verb.within() {
            return Ok(false);
        }
        let EnvironmentView { namespace, stack, class, .. } = environment;
        self.allowed((STACKS, class), verb, namespace, stack).await
    }

    /// Refuses what the person may not do with an environment.
    ///
    /// # Errors
    /// 403 with what is missing.
    pub(crate) async fn must(
        &self,
        verb: Verb,
        key: &EnvironmentKey,
        known: Option<&EnvironmentView>,
    ) -> Result<(), Problem> {
        if self.may_with(verb, key, known).await? {
            return Ok(());
        }
        let (who, verb, EnvironmentKey { namespace, name }) = (&self.identity.name, verb.as_str(), key);
        Err(Problem::forbidden(format!(
            "{RESOURCE}.{GROUP} {name:?} is forbidden: User {who:?} cannot {verb} resource {RESOURCE:?} in API group \
             {GROUP:?} in the namespace {namespace:?}"
        )))
    }

    /// Refuses what the person may not do with the accounts of this server. They are no objects of Kubernetes: the
    /// resource exists in rules alone.
    ///
    /// # Errors
    /// 403 with what is missing.
    pub(crate) async fn must_with_accounts(&self, verb: Verb, name: &str) -> Result<(), Problem> {
        if self.may_with_accounts(verb, name).await? {
            return Ok(());
        }
        let (who, verb) = (&self.identity.name, verb.as_str());
        Err(Problem::forbidden(format!(
            "{ACCOUNTS}.{GROUP} {name:?} is forbidden: User {who:?} cannot {verb} resource {ACCOUNTS:?} in API group \
             {GROUP:?} at the cluster scope"
        )))
    }

    /// Whether the person may do this with an account; with an empty text: with every account.
    pub(crate) async fn may_with_accounts(&self, verb: Verb, name: &str) -> Result<bool, Problem> {
        self.allowed((ACCOUNTS, ""), verb, "", name).await
    }

    /// Refuses to let the person read who did what.
    ///
    /// # Errors
    /// 403 with what is missing.
    pub(crate) async fn must_read_audit(&self) -> Result<(), Problem> {
        if self.may_read_audit().await? {
            return Ok(());
        }
        let who = &self.identity.name;
        Err(Problem::forbidden(format!(
            "{AUDIT}.{GROUP} is forbidden: User {who:?} cannot list resource {AUDIT:?} in API group {GROUP:?} at the \
             cluster scope"
        )))
    }

    /// Whether the person may read who did what.
    pub(crate) async fn may_read_audit(&self) -> Result<bool, Problem> {
        self.allowed((AUDIT, ""), Verb::List, "", "").await
    }

    /// Refuses the numbers for Prometheus to whom Kubernetes does not give its own.
    ///
    /// # Errors
    /// 403 with what is missing.
    pub(crate) async fn must_get_metrics(&self) -> Result<(), Problem> {
        const PATH: &str = "/metrics";
        let attributes = NonResourceAttributes { path: Some(PATH.to_owned()), verb: Some("get".to_owned()) };
        let spec = SelfSubjectAccessReviewSpec {
            non_resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        };
        if self.review(spec).await? {
            return Ok(());
        }
        let who = &self.identity.name;
        Err(Problem::forbidden(format!("User {who:?} cannot get path {PATH:?}"))
            .help("bind a ClusterRole with the rule {nonResourceURLs: [/metrics], verbs: [get]}"))
    }

    /// With which environments the person may do this: asked once for all, and else once for each namespace, and each
    /// stack and class.
    pub(crate) async fn reach(&self, verb: Verb) -> Result<Reach, Problem> {
        let everywhere = self.may(verb, "", "").await?;
        Ok(Reach {
            person: self.clone(),
            verb,
            everywhere,
            namespaces: BTreeMap::new(),
            parts: BTreeMap::new(),
        })
    }

    /// Whether the person may do this; with empty texts: with every environment.
    pub(crate) async fn may(&self, verb: Verb, namespace: &str, name: &str) -> Result<bool, Problem> {
        self.allowed((RESOURCE, ""), verb, namespace, name).await
    }

    async fn allowed(
        &self,
        (resource, subresource): (&str, &str),
        verb: Verb,
        namespace: &str,
        name: &str,
    ) -> Result<bool, Problem> {
        let needed = permissions::scope(resource, verb);
        if self.scopes.as_ref().is_some_and(|scopes| !scopes.contains(&needed)) {
            return Ok(false);
        }
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let attributes = ResourceAttributes {
            group: text(GROUP),
            resource: text(resource),
            subresource: text(subresource),
            verb: text(verb.as_str()),
            namespace: text(namespace),
            name: text(name),
            ..ResourceAttributes::default()
        };
        self.review(SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        })
        .await
    }

    /// Asks Kubernetes, as the person.
    async fn review(&self, spec: SelfSubjectAccessReviewSpec) -> Result<bool, Problem> {
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        match reviews.create(&PostParams::default(), &review).await {
            Ok(answer) => Ok(answer.status.is_some_and(|status| status.allowed)),
            // Who may not even ask has no rights.
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(false),
            Err(error) => {
                tracing::warn!(%error, "rights could not be checked");
                Err(Problem::unavailable("the Kubernetes API that decides about rights does not answer"))
            }
        }
    }
}

/// The environments with which a person may do one thing.
pub(crate) struct Reach {
    person: Person,
    verb: Verb,
    everywhere: bool,
    namespaces: BTreeMap<String, bool>,
    /// By namespace, stack and class.
    parts: BTreeMap<[String; 3], bool>,
}

impl Reach {
    /// Whether this environment is one of them.
    pub(crate) async fn contains(&mut self, environment: &EnvironmentView) -> Result<bool, Problem> {
        Ok(self.has_namespace(&environment.namespace).await? || self.has_part(environment).await?)
    }

    /// Whether all environments of this namespace are; with an empty text: all there are.
    pub(crate) async fn has_namespace(&mut self, namespace: &str) -> Result<bool, Problem> {
        if self.everywhere {
            return Ok(true);
        }
        if let Some(known) = self.namespaces.get(namespace) {
            return Ok(*known);
        }
        let allowed = self.person.may(self.verb, namespace, "").await?;
        self.namespaces.insert(namespace.to_owned(), allowed);
        Ok(allowed)
    }

    async fn has_part(&mut self, environment: &EnvironmentView) -> Result<bool, Problem> {
        let EnvironmentView { namespace, stack, class, .. } = environment;
        let part = [namespace, stack, class].map(String::clone);
        if let Some(known) = self.parts.get(&part) {
            return Ok(*known);
        }
        let allowed = self.person.may_within(self.verb, environment).await?;
        self.parts.insert(part, allowed);
        Ok(allowed)
    }
}
