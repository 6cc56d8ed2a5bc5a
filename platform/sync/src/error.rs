//! Why an environment cannot be brought to what Git says.

use seaway_api::FieldError;

use crate::view::EnvironmentKey;

/// An error of a sync, or of a question about one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such environment.
    #[error("there is no environment {0}: `seaway env list` shows those there are")]
    NoEnvironment(EnvironmentKey),
    /// The environment names a stack that is not there.
    #[error("there is no Stack {name:?} in namespace {namespace}: spec.stack names it")]
    NoStack {
        /// Namespace of the environment.
        namespace: String,
        /// The stack's name.
        name: String,
    },
    /// A spec breaks rules.
    #[error("{kind} {name}: {}", joined(.errors))]
    Invalid {
        /// `Stack` or `Environment`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The fields.
        errors: Vec<FieldError>,
    },
    /// A repository cannot be read.
    #[error("component {component}: {source}")]
    Git {
        /// The component.
        component: String,
        /// Why.
        source: seaway_git::Error,
    },
    /// What is in Git cannot be rendered.
    #[error("component {component} at {commit}: {message}")]
    Render {
        /// The component.
        component: String,
        /// The shortened commit.
        commit: String,
        /// File, line, field and what is wrong.
        message: String,
    },
    /// There can be no such copy.
    #[error(transparent)]
    Copy(seaway_environments::Error),
    /// A forge does not open a merge request.
    #[error("the branch is pushed, and there is no merge request: {0}")]
    Forge(String),
    /// The plan cannot be carried out.
    #[error("{0}")]
    Plan(String),
    /// The cluster refused or could not be reached.
    #[error("{what}: {message}")]
    Cluster {
        /// What was tried.
        what: String,
        /// What the API said.
        message: String,
        /// The HTTP status; 0 when there was no answer.
        code: u16,
    },
    /// Something did not become healthy in time.
    #[error("{0}")]
    Unhealthy(String),
    /// Something newer takes its place.
    #[error("something newer takes its place")]
    Superseded,
    /// A person has cancelled it.
    #[error("a person has cancelled it")]
    Cancelled,
    /// The history has nothing to go back to.
    #[error("{0}")]
    NoRelease(String),
    /// The records cannot be written or read.
    #[error("the records of syncs cannot be used: {0}")]
    Records(String),
    /// Seaway is stopping.
    #[error("Seaway is stopping")]
    Stopping,
}

impl Error {
    /// A word for a condition.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoEnvironment(_) | Self::NoStack { .. } => "NotFound",
            Self::Invalid { .. } => "InvalidSpec",
            Self::Git { .. } => "SourceUnavailable",
            Self::Render { .. } => "RenderFailed",
            Self::Copy(_) => "CopyRefused",
            Self::Forge(_) => "ForgeUnavailable",
            Self::Plan(_) => "PlanRefused",
            Self::Cluster { code: 403, .. } => "Forbidden",
            Self::Cluster { .. } => "ApplyFailed",
            Self::Unhealthy(_) => "NotHealthy",
            Self::Superseded => "Superseded",
            Self::Cancelled => "Cancelled",
            Self::NoRelease(_) => "NoRelease",
            Self::Records(_) => "RecordsUnavailable",
            Self::Stopping => "Stopping",
        }
    }

    /// From an answer of the API.
    pub(crate) fn cluster(what: impl Into<String>, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                Self::Cluster { what: what.into(), code: status.code, message: status.message.clone() }
            }
            other => Self::Cluster { what: what.into(), code: 0, message: other.to_string() },
        }
    }
}

fn joined(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
