/** How long a personal environment is kept. */

const DAY = 24 * 60 * 60 * 1000;

/** What can be chosen, in days; 0 is for ever. */
export const LIFETIMES = [1, 7, 30, 0];
export const USUAL = 7;
/** From when on a person is warned. */
export const SOON = DAY;

/** The end of so many days from `from` on, as the server takes it; `undefined`: never. */
export function ending(days: number, from: number): string | undefined {
  return days > 0 ? new Date(from + days * DAY).toISOString() : undefined;
}

/** From where on a longer life counts: the present end, or now when there is none or it is over. */
export function extendedFrom(expires: string | undefined, now: number): number {
  const end = expires ? Date.parse(expires) : NaN;
  return end > now ? end : now;
}

/** `in 45 min`, `in 5 h`, `in 7 days`, then the date. */
export function until(time: number, now: number): string {
  const left = time - now;
  if (left <= 0) return "now";
  const minutes = Math.ceil(left / 60_000);
  if (minutes < 120) return `in ${minutes} min`;
  if (left < 2 * DAY) return `in ${Math.round(minutes / 60)} h`;
  const days = Math.round(left / DAY);
  return days <= 60 ? `in ${days} days` : `on ${new Date(time).toISOString().slice(0, 10)}`;
}
