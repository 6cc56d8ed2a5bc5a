/** The tree as the rows that are seen. */
import type { Health, TreeComponent, TreeNode } from "../../api/contract";
import { objectKey } from "../../format/names";

export interface Row {
  id: string;
  level: number;
  title: string;
  health: Health;
  /** Whether there is something below it. */
  parent: boolean;
  open: boolean;
  /** Absent for a component. */
  node?: TreeNode;
}

export function flatten(components: TreeComponent[], closed: ReadonlySet<string>): Row[] {
  const rows: Row[] = [];
  function add(node: TreeNode, level: number): void {
    const id = objectKey(node.object);
    const parent = node.children.length > 0;
    const open = parent && !closed.has(id);
    rows.push({ id, level, title: node.object.name, health: node.health, parent, open, node });
    if (open) for (const child of node.children) add(child, level + 1);
  }
  for (const component of components) {
    const id = `component/${component.name}`;
    const open = !closed.has(id);
    const title = component.name || "No longer in Git";
    rows.push({ id, level: 1, title, health: component.health, parent: true, open });
    if (open) for (const node of component.objects) add(node, 2);
  }
  return rows;
}

/** The pods of an object, itself or below. */
export function podsOf(node: TreeNode): TreeNode[] {
  return node.object.kind === "Pod" ? [node] : node.children.flatMap(podsOf);
}
