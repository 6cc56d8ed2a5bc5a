//! Why a reconciliation could not finish.

use kube::core::Status;

/// What a controller could not do. The controllers try again by themselves, later and later.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API refused a request, or could not be reached.
    #[error("cannot {action} {object}: {source}")]
    Api {
        /// `create`, `update`, `patch`, `delete`, `bind`, `read`.
        action: &'static str,
        /// Kind, namespace and name.
        object: String,
        /// The API's answer.
        #[source]
        source: Box<kube::Error>,
    },
}

impl Error {
    pub(crate) fn api(action: &'static str, object: impl Into<String>, source: kube::Error) -> Self {
        Self::Api { action, object: object.into(), source: Box::new(source) }
    }

    fn answer(&self) -> Option<&Status> {
        let Self::Api { source, .. } = self;
        match &**source {
            kube::Error::Api(status) => Some(status),
            _ => None,
        }
    }

    /// Somebody else wrote first: read again and decide anew.
    pub(crate) fn is_conflict(&self) -> bool {
        self.answer().is_some_and(|s| s.reason == "Conflict")
    }

    /// An object of this name is there already.
    pub(crate) fn is_already_exists(&self) -> bool {
        self.answer().is_some_and(|s| s.reason == "AlreadyExists")
    }

    /// The object is gone.
    pub(crate) fn is_not_found(&self) -> bool {
        self.answer().is_some_and(|s| s.code == 404)
    }

    /// Nothing can be made in a namespace that is going away; its end is somebody else's work.
    pub(crate) fn is_namespace_terminating(&self) -> bool {
        self.answer().is_some_and(|s| s.code == 403 && s.message.contains("because it is being terminated"))
    }

    /// What events and conditions say: the API's own sentence when there is one.
    pub(crate) fn sentence(&self) -> String {
        self.answer().map_or_else(|| self.to_string(), |s| s.message.clone())
    }
}
