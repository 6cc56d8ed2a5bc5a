/** Choosing how long something is kept. */
import { LIFETIMES } from "../format/lifetime";
import { count } from "../format/names";

interface Props {
  label: string;
  days: number;
  never: string;
  choose(days: number): void;
  /** What stands after a number of days. */
  after?(days: number): string;
}

export function LifetimeChoice({ label, days, never, choose, after }: Props) {
  return (
    <label>{label}{" "}
      <select value={days} onChange={(event) => choose(Number(event.currentTarget.value))}>
        {LIFETIMES.map((one) => <option key={one} value={one}>{one === 0 ? never : count(one, "day") + (after?.(one) ?? "")}</option>)}
      </select>
    </label>
  );
}
