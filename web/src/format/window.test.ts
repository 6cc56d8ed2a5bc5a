import { expect, test } from "vitest";
import { block, visible } from "./window";

test("what is in view is drawn, and a little more", () => {
  expect(visible(0, 500, 50, 10_000)).toEqual({ first: 0, end: 25 });
  expect(visible(5_000, 500, 50, 10_000)).toEqual({ first: 85, end: 125 });
  expect(visible(499_500, 500, 50, 10_000)).toEqual({ first: 9_975, end: 10_000 });
});

test("a list that is short, gone, or below the view is no trouble", () => {
  expect(visible(0, 500, 50, 3)).toEqual({ first: 0, end: 3 });
  expect(visible(0, 500, 50, 0)).toEqual({ first: 0, end: 0 });
  expect(visible(-300, 500, 50, 10_000)).toEqual({ first: 0, end: 19 });
  expect(visible(9_000_000, 500, 50, 100)).toEqual({ first: 100, end: 100 });
});

test("the same is asked for while one scrolls a little", () => {
  expect(block({ first: 85, end: 125 }, 100)).toEqual({ offset: 0, limit: 200 });
  expect(block({ first: 90, end: 130 }, 100)).toEqual({ offset: 0, limit: 200 });
  expect(block({ first: 200, end: 240 }, 100)).toEqual({ offset: 200, limit: 100 });
  expect(block({ first: 0, end: 0 }, 100)).toEqual({ offset: 0, limit: 100 });
});
