//! The order of merged lists.

use crate::value::same;
use serde_json::Value;

/// What makes two elements of a list the same.
pub(super) struct Identify<'a> {
    key: Option<&'a str>,
}

impl<'a> Identify<'a> {
    /// By a field of maps, or by the value of scalars.
    pub(super) fn by(key: Option<&'a str>) -> Identify<'a> {
        Identify { key }
    }

    pub(super) fn same(&self, a: &Value, b: &Value) -> bool {
        match self.key {
            Some(key) => match (a.get(key), b.get(key)) {
                (Some(a), Some(b)) => same(a, b),
                _ => false,
            },
            None => same(a, b),
        }
    }

    fn place(&self, list: &[Value], item: &Value) -> Option<usize> {
        list.iter().position(|other| self.same(other, item))
    }
}

/// Orders a merged list: what the patch names follows the patch's order, what only the server has keeps its own order,
/// and stands before an element of the patch only where it stood before it on the server.
pub(super) fn arrange(
    merged: Vec<Value>,
    patch_order: &[Value],
    server_order: &[Value],
    identify: &Identify<'_>,
) -> Vec<Value> {
    let size = merged.len();
    let (mut of_patch, mut of_server): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| identify.place(patch_order, item).is_some());
    of_patch.sort_by_key(|item| identify.place(patch_order, item));
    of_server.sort_by_key(|item| identify.place(server_order, item));

    let mut out = Vec::with_capacity(size);
    let mut of_server = of_server.into_iter().peekable();
    let mut of_patch = of_patch.into_iter().peekable();
    while let (Some(server), Some(patched)) = (of_server.peek(), of_patch.peek()) {
        let stood_before = match (identify.place(server_order, server), identify.place(server_order, patched))
        {
            (Some(server), Some(patched)) => server < patched,
            _ => false,
        };
        out.extend(if stood_before { of_server.next() } else { of_patch.next() });
    }
    out.extend(of_server);
    out.extend(of_patch);
    out
}
