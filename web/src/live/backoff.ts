/** How long to wait before the next attempt: longer each time, never the same for two pages at once. */

const FIRST = 500;
const LONGEST = 15_000;

/**
 * Milliseconds before attempt number `attempt` (0 is the first after a loss). `random` in [0, 1) spreads the pages that
 * lost the same server, so that they do not all come back in the same instant.
 */
export function backoff(attempt: number, random: number): number {
  const full = Math.min(LONGEST, FIRST * 2 ** Math.min(attempt, 10));
  return Math.round(full / 2 + (full / 2) * random);
}
