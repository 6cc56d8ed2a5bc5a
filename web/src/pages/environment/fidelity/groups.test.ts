import { expect, test } from "vitest";
import type { DifferenceClass, FidelityDifference } from "../../../api/contract";
import { counts, grouped, percent } from "./groups";

const difference = (name: string, type: DifferenceClass, path: string, rule = ""): FidelityDifference => ({
  object: { group: "apps", version: "v1", kind: "Deployment", namespace: "jane", name },
  path,
  class: type,
  rule,
  left: 1,
  right: 2,
});
const some = [
  difference("a", "identity", ".metadata.namespace"),
  difference("b", "override", ".spec.image", "web"),
  difference("c", "identity", ".metadata.namespace"),
  difference("c", "undeclared", ".spec.replicas"),
  difference("b", "rule", ".spec.replicas", "small"),
  difference("b", "override", ".spec.title", "web"),
];

test("what nobody has declared comes first, in an object and among objects", () => {
  const groups = grouped(some);
  expect(groups.map((group) => group.object.name)).toEqual(["c", "b", "a"]);
  expect(groups[0]!.classes.map((part) => part.class)).toEqual(["undeclared", "identity"]);
  expect(groups[0]!.undeclared).toBe(1);
});

test("fields lie together by why they differ", () => {
  const b = grouped(some)[1]!;
  expect(b.classes.map((part) => [part.class, part.rule, part.fields.length]))
    .toEqual([["override", "web", 2], ["rule", "small", 1]]);
  expect(b.count).toBe(3);
});

test("a filter leaves only one class", () => {
  expect(grouped(some, "rule").map((group) => [group.object.name, group.count])).toEqual([["b", 1]]);
  expect(counts(some).get("override")).toBe(2);
});

test("five thousand differences are grouped, none is lost", () => {
  const many = Array.from({ length: 5000 }, (_, index) => difference(`o${index % 700}`, "rule", `.f${index}`, "r"));
  const groups = grouped(many);
  expect(groups.length).toBe(700);
  expect(groups.reduce((sum, group) => sum + group.count, 0)).toBe(5000);
});

test("only what is wholly the same is 100 %", () => {
  expect(percent(1)).toBe("100 %");
  expect(percent(0.99999)).toBe("99.9 %");
  expect(percent(0.57)).toBe("57 %");
  expect(percent(0)).toBe("0 %");
});
