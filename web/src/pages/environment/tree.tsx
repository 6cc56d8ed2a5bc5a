/** The resource tree, and what is chosen in it. */
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { TreeNode } from "../../api/contract";
import { fullLabel, objectKey, parseObjectKey } from "../../format/names";
import { location, navigate, withQuery } from "../../router";
import { ProblemBox } from "../../ui/problem";
import { HealthMark, SyncMark } from "../../ui/status";
import { ObjectPanel } from "./object";
import type { ViewProps } from "./index";
import { flatten, type Row } from "./rows";

export function TreeView({ env, tree, beat }: ViewProps) {
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const chosen = location.value.query.get("object") ?? undefined;
  const rows = useMemo(() => flatten(tree.data?.components ?? [], closed), [tree.data, closed]);
  const object = chosen ? parseObjectKey(chosen) : undefined;
  const node = chosen ? find(tree.data?.components.flatMap((one) => one.objects) ?? [], chosen) : undefined;
  const list = useRef<HTMLUListElement>(null);
  const [focused, setFocused] = useState<string>();
  const [byKey, setByKey] = useState(false);
  const current = rows.some((row) => row.id === focused) ? focused : rows[0]?.id;

  function toggle(row: Row, open: boolean): void {
    const next = new Set(closed);
    if (open) next.delete(row.id);
    else next.add(row.id);
    setClosed(next);
  }
  const element = (id: string) => list.current?.querySelector<HTMLElement>(`[data-id="${CSS.escape(id)}"]`);
  function focus(id: string | undefined): void {
    if (!id) return;
    setFocused(id);
    element(id)?.focus();
  }
  // Beside the details the tree is narrower and longer: what was chosen stays in view. The details come after it, and
  // where they stand above the tree they are what is seen.
  useLayoutEffect(() => {
    if (chosen) element(chosen)?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  function choose(row: Row, byKey: boolean): void {
    setFocused(row.id);
    setByKey(byKey);
    if (row.node) navigate(withQuery({ object: objectKey(row.node.object) }));
    else toggle(row, !row.open);
  }
  /** Back to where it was opened. */
  function close(): void {
    navigate(withQuery({ object: undefined }));
    focus(chosen && rows.some((row) => row.id === chosen) ? chosen : current);
  }
  /** Keys as in the WAI-ARIA tree pattern. */
  function key(event: KeyboardEvent, row: Row, index: number): void {
    switch (event.key) {
      case "ArrowDown": focus(rows[index + 1]?.id); break;
      case "ArrowUp": focus(rows[index - 1]?.id); break;
      case "Home": focus(rows[0]?.id); break;
      case "End": focus(rows.at(-1)?.id); break;
      case "ArrowRight":
        if (row.parent && !row.open) toggle(row, true);
        else if (row.parent) focus(rows[index + 1]?.id);
        break;
      case "ArrowLeft":
        if (row.parent && row.open) toggle(row, false);
        else focus(rows.slice(0, index).findLast((other) => other.level < row.level)?.id);
        break;
      case "Enter":
      case " ": choose(row, true); break;
      default: return;
    }
    event.preventDefault();
  }

  return (
    <div class={object ? "split" : undefined}>
      <div>
        {tree.problem && <ProblemBox problem={tree.problem} retry={tree.reload} />}
        {tree.data && rows.length === 0 && <p>Nothing is deployed yet. The timeline shows what is going on.</p>}
        {tree.data?.hidden?.map((text) => <p key={text} class="quiet">Not shown: {text}</p>)}
        <ul class="tree" role="tree" aria-label="Resources" ref={list}>
          {rows.map((row, index) => (
            <li key={row.id} role="treeitem" data-id={row.id} aria-level={row.level} aria-expanded={row.parent ? row.open : undefined}
              aria-selected={row.node ? objectKey(row.node.object) === chosen : false} tabIndex={row.id === current ? 0 : -1}
              style={{ paddingLeft: `${(row.level - 1) * 1.25 + 0.5}rem` }}
              onKeyDown={(event) => key(event, row, index)} onClick={() => choose(row, false)}>
              <span class="twist" aria-hidden="true" onClick={(event) => { if (row.parent) { event.stopPropagation(); toggle(row, !row.open); } }}>
                {row.parent ? (row.open ? "▾" : "▸") : ""}
              </span>
              {row.node ? <Line node={row.node} /> : <><strong>{row.title}</strong> <HealthMark health={row.health} /></>}
            </li>
          ))}
        </ul>
      </div>
      {object && <ObjectPanel env={env} object={object} node={node} beat={beat} byKey={byKey} close={close} />}
    </div>
  );
}

function Line({ node }: { node: TreeNode }) {
  return (
    <span class="line">
      <span class="kind">{node.object.kind}</span> <span class="name" title={fullLabel(node.object)}>{node.object.name}</span>
      {" "}<HealthMark health={node.health} />
      {node.sync && node.sync !== "Synced" && <> <SyncMark sync={node.sync} /></>}
      {node.info.length > 0 && <span class="quiet"> {node.info.join(" · ")}</span>}
      {node.message && node.health !== "Healthy" && <span class="why"> {node.message}</span>}
    </span>
  );
}

function find(nodes: TreeNode[], key: string): TreeNode | undefined {
  for (const node of nodes) {
    const found = objectKey(node.object) === key ? node : find(node.children, key);
    if (found) return found;
  }
  return undefined;
}
