/** Differences as people read them: by object, and in it by why they differ; what nobody has declared first. */
import type { DifferenceClass, FidelityDifference, ObjectRef } from "../../../api/contract";
import { objectKey } from "../../../format/names";

/** In the order in which they are shown. */
export const CLASSES: DifferenceClass[] = ["undeclared", "override", "rule", "standIn", "identity"];

export interface ClassGroup {
  class: DifferenceClass;
  /** Which rule, override or stand-in; empty where nobody has said why. */
  rule: string;
  fields: FidelityDifference[];
}

export interface ObjectGroup {
  key: string;
  object: ObjectRef;
  undeclared: number;
  count: number;
  classes: ClassGroup[];
}

const rank = new Map(CLASSES.map((name, index) => [name, index]));
const rankOf = (name: DifferenceClass): number => rank.get(name) ?? CLASSES.length;

/** `only` leaves out all other classes. */
export function grouped(differences: FidelityDifference[], only?: DifferenceClass): ObjectGroup[] {
  const objects = new Map<string, ObjectGroup & { by: Map<string, ClassGroup> }>();
  for (const difference of differences) {
    if (only && difference.class !== only) continue;
    const key = objectKey(difference.object);
    let group = objects.get(key);
    if (!group) {
      group = { key, object: difference.object, undeclared: 0, count: 0, classes: [], by: new Map() };
      objects.set(key, group);
    }
    const id = `${difference.class} ${difference.rule}`;
    let part = group.by.get(id);
    if (!part) {
      part = { class: difference.class, rule: difference.rule, fields: [] };
      group.by.set(id, part);
      group.classes.push(part);
    }
    part.fields.push(difference);
    group.count += 1;
    if (difference.class === "undeclared") group.undeclared += 1;
  }
  const groups = [...objects.values()];
  for (const group of groups) group.classes.sort((a, b) => rankOf(a.class) - rankOf(b.class));
  // The sort keeps the server's order among equals.
  groups.sort((a, b) => rankOf(a.classes[0]!.class) - rankOf(b.classes[0]!.class));
  return groups.map(({ by: _, ...group }) => group);
}

/** How many there are of each class. */
export function counts(differences: FidelityDifference[]): Map<DifferenceClass, number> {
  const result = new Map<DifferenceClass, number>();
  for (const { class: name } of differences) result.set(name, (result.get(name) ?? 0) + 1);
  return result;
}

/** `99.9 %`; what is not the same is never rounded up to all. */
export function percent(score: number): string {
  return `${Math.floor(score * 1000 + 1e-9) / 10} %`;
}
