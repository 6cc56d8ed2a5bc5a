//! The page about roles in the documentation, made from the table.

use std::fmt::Write as _;

use super::{Holder, TABLE};

const HEAD: &str = "# Roles

Who may do what. This page is made from the table that also makes the ClusterRoles `seaway-ROLE`; Kubernetes RBAC decides,
once, for the page, the command line and `kubectl` alike.

| role | is for people who |
|---|---|
| viewer | look at shared environments |
| developer | have environments of their own as well; where they are granted it, they deploy |
| approver | let changes into shared environments, or keep them out |
| operator | run the shared environments, and say which there are |
| admin | add people, too |
| owner | (everybody but viewers, in the namespace `seaway-NAME`) have environments of their own |

";

const TAIL: &str = "
## Where a role counts

The role of an account (`seaway account create ada --role developer`) is a group in Kubernetes: `seaway:viewers`,
`seaway:developers`, `seaway:approvers`, `seaway:operators`, `seaway:admins`. Viewers and developers look everywhere,
approvers and operators act everywhere; what developers change without a grant is their own.

What has a mark in the column *grant* can be given **within one stack, one class, or both**:

```
seaway account create ada --role developer --grant developer:shop/staging --grant approver:*/production
seaway account role ada --role viewer --grant operator:shop
```

A grant is a group as well (`seaway:developers:shop:staging`), bound to a Role of the same name in the namespace `seaway`
that allows its verbs on `stacks/staging.seaway.dev` for the stack `shop`: `kubectl auth can-i sync stacks.seaway.dev/shop
--subresource staging -n seaway` asks the same question as Seaway does. The rest is about objects, which Kubernetes knows by
namespace and name alone; bind a ClusterRole in a namespace for that.

What runs in an environment (pods, logs, manifests) is read as the person who asks: the groups of roles are bound to
Kubernetes' `view` everywhere. Who has grants and no role needs `view` in the namespaces where the stack runs.
";

/// The page `docs/roles.md`: the table in Markdown, with what it means.
pub fn roles_page() -> String {
    let mut text = HEAD.to_owned();
    let names: Vec<&str> = Holder::ALL.iter().map(|holder| holder.word()).collect();
    // Writing into a text cannot fail.
    let _ = writeln!(text, "| of | verb | what it is | {} | grant |", names.join(" | "));
    let _ = writeln!(text, "|---|---|---|{}", "---|".repeat(names.len() + 1));
    for right in &TABLE {
        let mark = |has: bool| if has { "✓" } else { "" };
        let holders: Vec<&str> =
            Holder::ALL.iter().map(|holder| mark(right.holders.contains(holder))).collect();
        let (of, verb, means) = (right.resource, right.verb, right.means);
        let _ =
            writeln!(text, "| {of} | {verb} | {means} | {} | {} |", holders.join(" | "), mark(right.within));
    }
    text + TAIL
}
