/** The time, as signals that move only while somebody looks. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

/** Moves every ten seconds: enough for "3 min ago". */
export const slowNow = signal(Date.now());
/** Moves ten times a second while a running sync is shown. */
export const fastNow = signal(Date.now());

setInterval(() => {
  if (!document.hidden) slowNow.value = Date.now();
}, 10_000);

export function useFastClock(on: boolean): void {
  useEffect(() => {
    if (!on) return;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const timer = setInterval(() => {
      if (!document.hidden) fastNow.value = Date.now();
    }, calm ? 1000 : 200);
    fastNow.value = Date.now();
    return () => clearInterval(timer);
  }, [on]);
}
