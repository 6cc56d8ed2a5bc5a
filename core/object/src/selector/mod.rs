//! Which objects are meant: by label ([`LabelSelector`]) and by field ([`FieldSelector`]).

mod field;
mod label;
mod name;

pub use field::{FieldOperator, FieldRequirement, FieldSelector};
pub use label::{LabelSelector, Operator, Requirement};
pub use name::{label_key_errors, label_value_errors, subdomain_errors};
