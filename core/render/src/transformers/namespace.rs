//! The namespace of all objects.

use crate::error::Problem;
use crate::fieldspec::FieldSpec;
use crate::node::{Kind, Node};
use crate::resmap::ResMap;
use crate::resource::Resource;

/// Which subjects of role bindings get the namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Subjects {
    /// Those named `default`.
    #[default]
    DefaultOnly,
    /// All service accounts.
    AllServiceAccounts,
    /// None.
    None,
}

/// How to set the namespace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Namespace {
    pub(crate) namespace: String,
    pub(crate) specs: Vec<FieldSpec>,
    /// Only where there is none yet.
    pub(crate) unset_only: bool,
    pub(crate) subjects: Subjects,
}

impl Namespace {
    pub(crate) fn apply(&self, map: &mut ResMap) -> Result<(), Problem> {
        if self.namespace.is_empty() {
            return Ok(());
        }
        for resource in &mut map.list {
            resource.remember_id();
            self.apply_to(resource)
                .map_err(|Problem(problem)| Problem(format!("{}: {problem}", resource.original_id())))?;
        }
        map.check_unique().map_err(|Problem(problem)| {
            Problem(format!("namespace transformation produces ID conflict: {problem}"))
        })
    }

    fn apply_to(&self, resource: &mut Resource) -> Result<(), Problem> {
        let gvk = resource.gvk();
        if !gvk.is_cluster_scoped() {
            let metadata = FieldSpec::new(Default::default(), "metadata/namespace", true);
            metadata.apply(&mut resource.node, Some(Kind::Scalar), &mut |node| self.set(node))?;
        }
        let is_binding = matches!(gvk.kind.as_str(), "RoleBinding" | "ClusterRoleBinding");
        if is_binding {
            self.set_subjects(resource)?;
        }
        for spec in &self.specs {
            // What these name is done above, or would be wrong.
            let handled = spec.path == "metadata/namespace"
                || (spec.path == "metadata/name" && resource.api_version() != "v1")
                || (is_binding
                    && spec.path == "subjects/namespace"
                    && matches!(spec.gvk.kind.as_str(), "RoleBinding" | "ClusterRoleBinding"));
            if !handled {
                spec.apply(&mut resource.node, Some(Kind::Scalar), &mut |node| self.set(node))?;
            }
        }
        Ok(())
    }

    fn set(&self, node: &mut Node) -> Result<(), Problem> {
        if !matches!(node, Node::Scalar(_)) {
            let found = node.kind().name();
            return Err(Problem(format!("namespace field specs must target scalar nodes, found {found}")));
        }
        if self.unset_only && !node.is_null() && !node.raw_text().is_empty() {
            return Ok(());
        }
        *node = Node::text(self.namespace.as_str());
        Ok(())
    }

    fn set_subjects(&self, resource: &mut Resource) -> Result<(), Problem> {
        let (field, wanted) = match self.subjects {
            Subjects::None => return Ok(()),
            Subjects::DefaultOnly => ("name", "default"),
            Subjects::AllServiceAccounts => ("kind", "ServiceAccount"),
        };
        let subjects = match resource.node.as_map_mut().and_then(|map| map.get_mut("subjects")) {
            None => return Ok(()),
            Some(null) if null.is_null() => return Ok(()),
            Some(Node::Seq(subjects)) => subjects,
            Some(other) => {
                return Err(Problem(format!("subjects is {}, not a list", other.kind().name())));
            }
        };
        for subject in subjects {
            if let Some(map) = subject.as_map_mut()
                && map.get(field).is_some_and(|value| value.raw_text() == wanted)
            {
                self.set(map.entry("namespace", Kind::Scalar))?;
            }
        }
        Ok(())
    }
}
