import { expect, test } from "vitest";
import { compare, LogPlaces } from "./lines";

const line = (time: string | undefined, text = "", pod = "web-1") => ({ pod, container: "web", time, text });

test("after a break each line comes once, also those of one moment", () => {
  const places = new LogPlaces();
  const read = (...lines: ReturnType<typeof line>[]) => lines.filter((one) => places.isNew(one)).map((one) => one.text);
  expect(read(line("2030-01-01T00:00:01.5Z", "a"), line("2030-01-01T00:00:02Z", "b"), line("2030-01-01T00:00:02Z", "c"))).toEqual(["a", "b", "c"]);
  places.again();
  expect(places.since()).toBe("2030-01-01T00:00:02Z");
  // All of that second come again, and one more of the very same moment.
  expect(read(line("2030-01-01T00:00:02Z", "b"), line("2030-01-01T00:00:02Z", "c"), line("2030-01-01T00:00:02Z", "d"), line("2030-01-01T00:00:02.1Z", "e"))).toEqual(["d", "e"]);
  places.again();
  expect(read(line("2030-01-01T00:00:02Z", "b"), line("2030-01-01T00:00:02.1Z", "e"), line("2030-01-01T00:00:03Z", "f"))).toEqual(["f"]);
});

test("each container has its own place, and the log is asked for from the last word of the most silent one", () => {
  const places = new LogPlaces();
  expect(places.since()).toBeUndefined();
  places.isNew(line("2030-01-01T00:00:09Z", "a", "web-1"));
  places.isNew(line("2030-01-01T00:00:04Z", "b", "web-2"));
  places.again();
  expect(places.since()).toBe("2030-01-01T00:00:04Z");
  expect(places.isNew(line("2030-01-01T00:00:05Z", "known", "web-1"))).toBe(false);
  expect(places.isNew(line("2030-01-01T00:00:05Z", "new", "web-2"))).toBe(true);
});

test("lines out of order are shown while nothing has broken off", () => {
  const places = new LogPlaces();
  const read = (...lines: ReturnType<typeof line>[]) => lines.filter((one) => places.isNew(one)).map((one) => one.text);
  expect(read(line("2030-01-01T00:00:02Z", "a"), line("2030-01-01T00:00:01Z", "older"))).toEqual(["a", "older"]);
  places.again();
  expect(places.since()).toBe("2030-01-01T00:00:02Z");
  expect(read(line("2030-01-01T00:00:01Z", "older"), line("2030-01-01T00:00:02Z", "a"), line("2030-01-01T00:00:03Z", "b"), line("2030-01-01T00:00:02.5Z", "late"))).toEqual(["b", "late"]);
});

test("a line without a time is shown", () => {
  const places = new LogPlaces();
  expect([places.isNew(line(undefined)), places.isNew(line(undefined))]).toEqual([true, true]);
});

test("times are compared by value, whatever digits they have", () => {
  expect(compare("2030-01-01T00:00:01.12Z", "2030-01-01T00:00:01.120000000Z")).toBe(0);
  expect(compare("2030-01-01T00:00:01Z", "2030-01-01T00:00:01.000000001Z")).toBe(-1);
  expect(compare("2030-01-01T00:00:10Z", "2030-01-01T00:00:09.9Z")).toBe(1);
});
