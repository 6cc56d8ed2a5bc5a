/** Choosing how long something is kept. */
import { LIFETIMES } from "../format/lifetime";
import { count } from "../format/names";

interface Props {
  label: string;
  days: number;
  never: string;
  choose(days: number): void;
}

export function LifetimeChoice({ label, days, never, choose }: Props) {
  return (
    <label>{label}{" "}
      <select value={days} onChange={(event) => choose(Number(event.currentTarget.value))}>
        {LIFETIMES.map((one) => <option key={one} value={one}>{one === 0 ? never : count(one, "day")}</option>)}
      </select>
    </label>
  );
}
