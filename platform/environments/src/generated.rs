//! Objects whose names end with a digest of their content, as kustomize's generators make them: another content is another
//! name, and still the same object to whoever wrote it.

use std::collections::BTreeMap;

use seaway_object::ObjectId;

/// Letters and digits of kustomize's digests: hexadecimal ones, with others for those that could make words.
const DIGITS: &str = "2456789bcdfghkmt";
/// How many there are.
const LENGTH: usize = 10;

/// The name without its digest.
fn stem(id: &ObjectId) -> Option<&str> {
    let is_generated = id.group.is_empty() && matches!(id.kind.as_str(), "ConfigMap" | "Secret");
    let (stem, digest) = id.name.rsplit_once('-').filter(|_| is_generated)?;
    (digest.len() == LENGTH && digest.chars().all(|digit| DIGITS.contains(digit))).then_some(stem)
}

/// Which of the right stands for which of the left, of those that only one side has. Where several could, none does.
pub(crate) fn pairs(left: &[ObjectId], right: &[ObjectId]) -> BTreeMap<ObjectId, ObjectId> {
    type Sides<'a> = (Vec<&'a ObjectId>, Vec<&'a ObjectId>);
    let mut sides: BTreeMap<(&str, Option<&str>, &str), Sides<'_>> = BTreeMap::new();
    for (ids, is_right) in [(left, false), (right, true)] {
        for id in ids {
            if let Some(stem) = stem(id) {
                let (left, right) = sides.entry((&id.kind, id.namespace.as_deref(), stem)).or_default();
                if is_right { right.push(id) } else { left.push(id) }
            }
        }
    }
    let pair = |(left, right): Sides<'_>| match (left.as_slice(), right.as_slice()) {
        ([left], [right]) => Some(((*left).clone(), (*right).clone())),
        _ => None,
    };
    sides.into_values().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(kind: &str, name: &str) -> ObjectId {
        ObjectId {
            group: String::new(),
            kind: kind.to_owned(),
            namespace: Some("shop".to_owned()),
            name: name.to_owned(),
        }
    }

    #[test]
    fn what_is_called_by_its_content_is_paired_where_there_is_no_doubt() {
        let one = |kind: &str, left: &[&str], right: &[&str]| {
            let ids = |names: &[&str]| names.iter().map(|name| id(kind, name)).collect::<Vec<_>>();
            pairs(&ids(left), &ids(right)).len()
        };
        assert_eq!(one("ConfigMap", &["web-2456789bcd"], &["web-fghkmt2222"]), 1);
        assert_eq!(one("Secret", &["web-2456789bcd"], &["web-fghkmt2222"]), 1);
        assert_eq!(one("Service", &["web-2456789bcd"], &["web-fghkmt2222"]), 0);
        assert_eq!(one("ConfigMap", &["web-2456789bcd"], &["api-fghkmt2222"]), 0);
        assert_eq!(one("ConfigMap", &["web-2456789bcd"], &["web-fghkmt2222", "web-kkkkkkkkkk"]), 0);
        assert_eq!(one("ConfigMap", &["web-production"], &["web-andstaging"]), 0);
        assert_eq!(one("ConfigMap", &["web"], &["web-fghkmt2222"]), 0);
    }
}
