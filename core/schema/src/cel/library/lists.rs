//! Lists as a whole.

use std::cmp::Ordering;

use super::super::value::{Value, compare, contains, equal};
use super::super::{Cost, Outcome};
use super::fail;

pub(super) fn call<'a>(name: &str, arguments: &[Value<'a>], cost: &mut Cost) -> Outcome<Option<Value<'a>>> {
    let Some(items) = arguments.first().filter(|value| value.is_list()) else {
        return Ok(None);
    };
    let items = items.items(cost)?;
    Ok(match (name, &arguments[1..]) {
        ("isSorted", []) => Some(Value::Bool(is_sorted(&items, cost)?)),
        ("sum", []) => sum(&items)?,
        ("min", []) => Some(extreme(name, &items, Ordering::Less, cost)?),
        ("max", []) => Some(extreme(name, &items, Ordering::Greater, cost)?),
        ("indexOf", [wanted]) => Some(position(items.iter().enumerate(), wanted, cost)?),
        ("lastIndexOf", [wanted]) => Some(position(items.iter().enumerate().rev(), wanted, cost)?),
        (_, [other]) if other.is_list() => {
            let others = other.items(cost)?;
            Some(Value::Bool(match name {
                "sets.contains" => includes(&items, &others, cost)?,
                "sets.intersects" => {
                    let mut found = false;
                    for item in &items {
                        found = found || contains(&others, item, cost)?;
                    }
                    found
                }
                _ => includes(&items, &others, cost)? && includes(&others, &items, cost)?,
            }))
        }
        _ => None,
    })
}

fn includes(items: &[Value<'_>], wanted: &[Value<'_>], cost: &mut Cost) -> Outcome<bool> {
    for one in wanted {
        if !contains(items, one, cost)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_sorted(items: &[Value<'_>], cost: &mut Cost) -> Outcome<bool> {
    for pair in items.windows(2) {
        if compare(&pair[0], &pair[1], cost)? == Some(Ordering::Greater) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The sum; of no items, the whole number 0.
fn sum<'a>(items: &[Value<'a>]) -> Outcome<Option<Value<'a>>> {
    let mut total: Option<Value<'a>> = None;
    for item in items {
        total = match (total, item) {
            (None, Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Duration(_)) => {
                Some(item.clone())
            }
            (Some(Value::Int(one)), Value::Int(other)) => match one.checked_add(*other) {
                Some(sum) => Some(Value::Int(sum)),
                None => return fail("integer overflow"),
            },
            (Some(Value::Uint(one)), Value::Uint(other)) => match one.checked_add(*other) {
                Some(sum) => Some(Value::Uint(sum)),
                None => return fail("unsigned integer overflow"),
            },
            (Some(Value::Double(one)), Value::Double(other)) => Some(Value::Double(one + other)),
            (Some(Value::Duration(one)), Value::Duration(other)) => match one.checked_add(*other) {
                Some(sum) => Some(Value::Duration(sum)),
                None => return fail("duration overflow"),
            },
            _ => return Ok(None),
        };
    }
    Ok(Some(total.unwrap_or(Value::Int(0))))
}

fn extreme<'a>(name: &str, items: &[Value<'a>], wanted: Ordering, cost: &mut Cost) -> Outcome<Value<'a>> {
    let Some((first, rest)) = items.split_first() else {
        return fail(format!("{name} called on empty list"));
    };
    let mut best = first;
    for item in rest {
        if compare(item, best, cost)? == Some(wanted) {
            best = item;
        }
    }
    Ok(best.clone())
}

fn position<'a, 'v>(
    items: impl Iterator<Item = (usize, &'v Value<'a>)>,
    wanted: &Value<'a>,
    cost: &mut Cost,
) -> Outcome<Value<'a>>
where
    'a: 'v,
{
    for (index, item) in items {
        if equal(item, wanted, cost)? {
            return Ok(super::whole(index));
        }
    }
    Ok(Value::Int(-1))
}
