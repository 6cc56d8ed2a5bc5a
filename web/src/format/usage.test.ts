import { expect, test } from "vitest";
import type { CopyUsage } from "../api/contract";
import { byOwner, bytes, cores, hours } from "./usage";

const copy = (owner: string | undefined, name: string, milliCpu: number, cpuHours: number): CopyUsage => ({
  environment: { namespace: `seaway-${owner ?? ""}`, name }, of: "seaway/production", class: "personal", owner,
  created: "2026-03-01T10:00:00Z", pods: 2, milliCpu, memory: 2 ** 28, seconds: 3600, cpuHours, memoryHours: 0.25,
});

test("what a person's copies ask for is added up, the dearest first", () => {
  const sums = byOwner([copy("ada", "a", 100, 1), copy("jane", "b", 500, 7), copy("ada", "c", 100, 2), copy(undefined, "d", 50, 9)], "shared");
  expect(sums.map((sum) => [sum.who, sum.copies, sum.pods, sum.milliCpu, sum.cpuHours])).toEqual([
    ["shared", 1, 2, 50, 9],
    ["jane", 1, 2, 500, 7],
    ["ada", 2, 4, 200, 3],
  ]);
});

test("amounts are said in the unit that people think in", () => {
  expect(cores(250)).toBe("0.25");
  expect(cores(12_000)).toBe("12");
  expect(bytes(512 * 2 ** 20)).toBe("512 MiB");
  expect(bytes(1536 * 2 ** 20)).toBe("1.5 GiB");
  expect(hours(0.04)).toBe("0.0");
  expect(hours(1234.56)).toBe("1,234.6");
});
