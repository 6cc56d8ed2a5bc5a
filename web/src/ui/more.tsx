/** A long list, a part at a time. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

/** How many of a list are shown, and the button for the next ones. */
export function useMore<T>(items: T[], step: number): { shown: T[]; more: ComponentChildren } {
  const [limit, setLimit] = useState(step);
  const left = items.length - limit;
  return {
    shown: left > 0 ? items.slice(0, limit) : items,
    more: left > 0 && <p><button type="button" onClick={() => setLimit(limit + step)}>Show {Math.min(step, left)} more of {left}</button></p>,
  };
}
