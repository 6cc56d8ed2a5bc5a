/** Steps as people read them: each below the step that it is a part of. */
import type { Step } from "../../api/contract";

export interface Ordered {
  step: Step;
  level: number;
}

/** Steps come in the order in which they began, so that those of components that run side by side are mixed. */
export function ordered(steps: Step[]): Ordered[] {
  const known = new Set(steps.map((step) => step.id));
  const children = new Map<string | undefined, Step[]>();
  for (const step of steps) {
    const parent = step.parent && known.has(step.parent) && step.parent !== step.id ? step.parent : undefined;
    children.set(parent, [...(children.get(parent) ?? []), step]);
  }
  const result: Ordered[] = [];
  function add(parent: string | undefined, level: number): void {
    for (const step of children.get(parent) ?? []) {
      result.push({ step, level });
      add(step.id, level + 1);
    }
  }
  add(undefined, 0);
  return result;
}
