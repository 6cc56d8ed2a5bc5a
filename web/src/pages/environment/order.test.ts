import { expect, test } from "vitest";
import type { Step } from "../../api/contract";
import { ordered } from "./order";

const step = (id: string, parent?: string): Step => ({ id, parent, title: id, kind: "object", state: "running" });

test("what runs side by side is told apart", () => {
  const mixed = [step("a"), step("b"), step("a1", "a"), step("b1", "b"), step("a2", "a"), step("a1x", "a1")];
  expect(ordered(mixed).map(({ step, level }) => `${level} ${step.id}`)).toEqual(["0 a", "1 a1", "2 a1x", "1 a2", "0 b", "1 b1"]);
});

test("a step whose parent is not there is shown all the same", () => {
  expect(ordered([step("x", "gone")]).map(({ step }) => step.id)).toEqual(["x"]);
});
