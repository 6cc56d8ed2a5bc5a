//! Whether a person may do something: a question to Kubernetes RBAC, asked as that person.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderValue;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{Api, PostParams};

use crate::accounts::SessionKey;
use crate::authentication::Identity;
use crate::permissions::{ACCOUNTS, GROUP, RESOURCE, Verb};
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
pub(crate) struct Person {
    pub(crate) identity: Identity,
    /// Acts as the person.
    pub(crate) client: kube::Client,
    /// The session that says who it is, if one does. What lasts longer than one answer ends with it.
    pub(crate) session: Option<SessionKey>,
}

impl Person {
    /// # Errors
    /// 403 when nobody can act under that name.
    pub(crate) fn new(identity: Identity, client_for: &ClientFor) -> Result<Self, Problem> {
        match client_for(&identity) {
            Ok(client) => Ok(Self { identity, client, session: None }),
            Err(error) => Err(Problem::forbidden(format!("nobody can act as {:?}: {error}", identity.name))),
        }
    }

    /// Refuses what the person may not do with an environment.
    ///
    /// # Errors
    /// 403 with what is missing.
    pub(crate) async fn must(&self, verb: Verb, namespace: &str, name: &str) -> Result<(), Problem> {
        if self.may(verb, namespace, name).await? {
            return Ok(());
        }
        let (who, verb) = (&self.identity.name, verb.as_str());
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
        self.allowed(ACCOUNTS, verb, "", name).await
    }

    /// In which namespaces the person may do this: asked once for all, and else once for each.
    pub(crate) async fn scope(&self, verb: Verb) -> Result<Scope<'_>, Problem> {
        let everywhere = self.may(verb, "", "").await?;
        Ok(Scope { person: self, verb, everywhere, known: BTreeMap::new() })
    }

    /// Whether the person may do this; with empty texts: with every environment.
    pub(crate) async fn may(&self, verb: Verb, namespace: &str, name: &str) -> Result<bool, Problem> {
        self.allowed(RESOURCE, verb, namespace, name).await
    }

    async fn allowed(
        &self,
        resource: &str,
        verb: Verb,
        namespace: &str,
        name: &str,
    ) -> Result<bool, Problem> {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let attributes = ResourceAttributes {
            group: text(GROUP),
            resource: text(resource),
            verb: text(verb.as_str()),
            namespace: text(namespace),
            name: text(name),
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
            ..SelfSubjectAccessReview::default()
        };
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

/// The namespaces in which a person may do one thing.
pub(crate) struct Scope<'a> {
    person: &'a Person,
    verb: Verb,
    everywhere: bool,
    known: BTreeMap<String, bool>,
}

impl Scope<'_> {
    /// Whether this namespace is one of them.
    pub(crate) async fn contains(&mut self, namespace: &str) -> Result<bool, Problem> {
        if self.everywhere {
            return Ok(true);
        }
        if let Some(known) = self.known.get(namespace) {
            return Ok(*known);
        }
        let allowed = self.person.may(self.verb, namespace, "").await?;
        self.known.insert(namespace.to_owned(), allowed);
        Ok(allowed)
    }
}
