/** Charts of an environment's requests: what is drawn, as numbers and paths. */
import type { Traffic, TrafficPoint } from "../../api/contract";

/** The drawing's own size; it is stretched to its place. */
export const WIDTH = 600;
export const HEIGHT = 100;

/** A value at a time; nothing where there is none. */
export type Value = number | undefined;

export const rate = (point: TrafficPoint): number => point.requests / point.seconds;
/** Of a step without requests none failed, and nothing is said of how long they took. */
export const errorShare = (point: TrafficPoint): Value => (point.requests > 0 ? (point.errors / point.requests) * 100 : undefined);

/** A round number that is no less: the top of a chart. */
export function ceiling(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const first = [1, 2, 2.5, 5, 10].find((step) => step * power >= value * 0.999);
  return (first ?? 10) * power;
}

/** Where a time is drawn, from 0 to WIDTH. */
export function across(time: number, traffic: Pick<Traffic, "from" | "to">): number {
  const from = Date.parse(traffic.from);
  const length = Date.parse(traffic.to) - from;
  return length > 0 ? Math.min(WIDTH, Math.max(0, ((time - from) / length) * WIDTH)) : 0;
}

/** A line through the middles of the steps; it is broken where nothing is known. */
export function line(traffic: Traffic, value: (point: TrafficPoint) => Value, top: number): string {
  const runs: string[][] = [[]];
  for (const point of traffic.points) {
    const at = value(point);
    if (at === undefined) {
      runs.push([]);
      continue;
    }
    const y = HEIGHT - (Math.min(at, top) / top) * HEIGHT;
    runs[runs.length - 1]?.push(`${across(middle(point), traffic).toFixed(1)} ${y.toFixed(1)}`);
  }
  // A point alone is a short stroke: else nobody would see it.
  return runs.map((run) => (run.length === 0 ? "" : run.length === 1 ? `M${run[0]}m-2 0h4` : `M${run.join("L")}`)).join("");
}

/** The same, down to the ground; for what has a value at all times. */
export function area(traffic: Traffic, value: (point: TrafficPoint) => Value, top: number): string {
  const first = traffic.points[0];
  const last = traffic.points[traffic.points.length - 1];
  if (!first || !last) return "";
  const edge = line(traffic, value, top).replaceAll("m-2 0h4", "").replaceAll("M", "L").slice(1);
  return `M${across(middle(first), traffic).toFixed(1)} ${HEIGHT}L${edge}L${across(middle(last), traffic).toFixed(1)} ${HEIGHT}Z`;
}

export function middle(point: TrafficPoint): number {
  return Date.parse(point.time) + point.seconds * 500;
}

/** `12 /s`, `0.4 /s`. */
export function perSecond(value: number): string {
  return `${value >= 10 ? Math.round(value) : Number(value.toFixed(value >= 1 ? 1 : 2))} /s`;
}

export function percent(value: Value): string {
  if (value === undefined) return "–";
  return `${value >= 10 || value === 0 ? Math.round(value) : Number(value.toFixed(1))} %`;
}

/** `3.2 ms`, `48 ms`, `1.2 s`. */
export function milliseconds(value: number | null | undefined): string {
  if (value === undefined || value === null) return "–";
  if (value >= 1000) return `${Number((value / 1000).toFixed(1))} s`;
  return `${value >= 10 ? Math.round(value) : Number(value.toFixed(1))} ms`;
}

/** All points together, as a sentence. */
export function summary(points: TrafficPoint[]): { requests: number; errors: number; highest: number } {
  let requests = 0;
  let errors = 0;
  let highest = 0;
  for (const point of points) {
    requests += point.requests;
    errors += point.errors;
    highest = Math.max(highest, rate(point));
  }
  return { requests, errors, highest };
}
