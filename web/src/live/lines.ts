/**
 * Log lines that go on where they were, after a stream has broken off.
 *
 * A log is asked for again from the second of the line before the break, since Kubernetes knows no finer time: what is
 * known of it already is left out, for each container by itself.
 */
import type { LogLine } from "../api/contract";

interface Place {
  /** The time of the newest line, as the server says it. */
  time: string;
  /** How many lines were read of that same moment. */
  count: number;
}

export class LogPlaces {
  private places = new Map<string, Place>();
  /** Lines of the newest moment that come again. */
  private repeated = new Map<string, number>();
  /** Containers whose newest line has not come again yet: until then, older ones are known. */
  private behind = new Set<string>();

  /** A stream begins anew: what is known of the newest moment of each container may come again. */
  again(): void {
    this.repeated = new Map([...this.places].map(([container, { count }]) => [container, count]));
    this.behind = new Set(this.places.keys());
  }

  /** Whether a line is a new one. */
  isNew({ pod, container, time }: LogLine): boolean {
    if (!time) return true;
    const key = `${pod}/${container}`;
    const place = this.places.get(key);
    const order = place ? compare(time, place.time) : 1;
    // Nothing broke off: two streams of a container, or a clock that was set, can come out of order.
    if (order < 0) return !this.behind.has(key);
    if (order === 0 && place) {
      const left = this.repeated.get(key) ?? 0;
      if (left > 0) {
        this.repeated.set(key, left - 1);
        return false;
      }
      this.behind.delete(key);
      place.count += 1;
      return true;
    }
    this.behind.delete(key);
    this.repeated.delete(key);
    this.places.set(key, { time, count: 1 });
    return true;
  }

  /** From when on to ask: that of the container that has said nothing for longest, so that nothing is missed. */
  since(): string | undefined {
    const times = [...this.places.values()].map((place) => place.time);
    return times.reduce<string | undefined>((first, time) => (first === undefined || compare(time, first) < 0 ? time : first), undefined);
  }
}

/** Times of RFC 3339 in UTC, as Kubernetes writes them: fractions have as many digits as are needed. */
export function compare(a: string, b: string): number {
  const [left, right] = [a, b].map((time) => {
    const [seconds, fraction = ""] = time.replace(/Z$/, "").split(".");
    return `${seconds}.${fraction.padEnd(9, "0")}`;
  });
  return left === right ? 0 : (left as string) < (right as string) ? -1 : 1;
}
