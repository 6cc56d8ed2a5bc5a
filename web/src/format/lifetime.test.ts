import { expect, test } from "vitest";
import { ending, extendedFrom, until } from "./lifetime";

const NOW = Date.parse("2026-03-01T10:00:00Z");
const HOUR = 3_600_000;

test("a life ends so many days from now, or never", () => {
  expect(ending(7, NOW)).toBe("2026-03-08T10:00:00.000Z");
  expect(ending(0, NOW)).toBeUndefined();
});

test("a longer life begins at the present end, and never in the past", () => {
  expect(extendedFrom("2026-03-02T10:00:00Z", NOW)).toBe(NOW + 24 * HOUR);
  expect(extendedFrom("2026-02-01T10:00:00Z", NOW)).toBe(NOW);
  expect(extendedFrom(undefined, NOW)).toBe(NOW);
});

test("what is left is said in the unit that matters", () => {
  expect(until(NOW - 1, NOW)).toBe("now");
  expect(until(NOW + HOUR / 2, NOW)).toBe("in 30 min");
  expect(until(NOW + 24 * HOUR - 1000, NOW)).toBe("in 24 h");
  expect(until(NOW + 7 * 24 * HOUR - 1000, NOW)).toBe("in 7 days");
  expect(until(NOW + 100 * 24 * HOUR, NOW)).toBe("on 2026-06-09");
});
