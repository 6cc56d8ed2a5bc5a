import { expect, test } from "vitest";
import type { Traffic } from "../../api/contract";
import { across, area, ceiling, errorShare, line, milliseconds, perSecond, percent, rate, summary } from "./chart";

const point = (second: number, requests: number, errors = 0, seconds = 10) =>
  ({ time: new Date(second * 1000).toISOString(), seconds, requests, errors });
const traffic = (points: ReturnType<typeof point>[]): Traffic =>
  ({ measured: true, routes: [], deploys: [], stepSeconds: 10, points, from: new Date(0).toISOString(), to: new Date(40_000).toISOString() });

test("a chart ends at a round number above all values", () => {
  expect([0, 0.3, 1, 1.1, 7, 24, 25, 99, 101].map(ceiling)).toEqual([1, 0.5, 1, 2, 10, 25, 25, 100, 200]);
});

test("the rate of a step counts the seconds that are known of it", () => {
  expect(rate(point(0, 20))).toBe(2);
  expect(rate(point(30, 20, 0, 4))).toBe(5);
});

test("a line is broken where there is no value, and stays within its chart", () => {
  const drawn = line(traffic([point(0, 10, 5), point(10, 0), point(20, 10, 10), point(30, 10, 0)]), errorShare, 50);
  expect(drawn).toBe("M75.0 0.0m-2 0h4M375.0 0.0L525.0 100.0");
  expect(area(traffic([point(0, 10), point(30, 20)]), rate, 2)).toBe("M75.0 100L75.0 50.0L525.0 0.0L525.0 100Z");
  expect(area(traffic([]), rate, 2)).toBe("");
});

test("what was deployed before or after is drawn at the edge", () => {
  expect([-5000, 0, 20_000, 90_000].map((time) => across(time, traffic([])))).toEqual([0, 0, 300, 600]);
});

test("numbers are as long as somebody reads them", () => {
  expect([0, 0.254, 3.14, 42.4].map(perSecond)).toEqual(["0 /s", "0.25 /s", "3.1 /s", "42 /s"]);
  expect([undefined, 0, 0.25, 33.3].map(percent)).toEqual(["–", "0 %", "0.3 %", "33 %"]);
  expect([undefined, null, 0.6, 48.2, 1234].map(milliseconds)).toEqual(["–", "–", "0.6 ms", "48 ms", "1.2 s"]);
});

test("all steps are summed up", () => {
  expect(summary([point(0, 10, 1), point(10, 30, 2)])).toEqual({ requests: 40, errors: 3, highest: 3 });
});
