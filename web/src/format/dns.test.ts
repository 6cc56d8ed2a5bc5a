import { expect, test } from "vitest";
import { label, labelProblem } from "./dns";

test("a DNS label is taken, anything else is refused with the reason", () => {
  for (const name of ["a", "jane-production", "7", "a".repeat(63)]) expect(labelProblem(name)).toBeUndefined();
  expect(labelProblem("")).toMatch("needed");
  expect(labelProblem("Jane")).toMatch("small letters");
  expect(labelProblem("jane.production")).toMatch("small letters");
  expect(labelProblem("-jane")).toMatch("begins");
  expect(labelProblem("jane-")).toMatch("begins");
  expect(labelProblem("a".repeat(64))).toMatch("63");
});

test("the name that is offered is always a label", () => {
  expect(label("jane", "production")).toBe("jane-production");
  expect(label("Jane.Doe@Example.com", "production")).toBe("jane-doe-example-com-production");
  expect(labelProblem(label("_", "x".repeat(62), "-y"))).toBeUndefined();
});
