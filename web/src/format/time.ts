/** Times and durations as a person reads them. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `1.2 s`, `48 s`, `3 min 05 s`, `2 h 10 min`. */
export function duration(milliseconds: number): string {
  const ms = Math.max(0, milliseconds);
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** `just now`, `4 min ago`, `in 2 h`, then the date. */
export function relative(time: number, now: number): string {
  const gap = now - time;
  const size = Math.abs(gap);
  if (size < 10_000) return "just now";
  if (size >= 30 * DAY) return new Date(time).toISOString().slice(0, 10);
  let text: string;
  if (size < MINUTE) text = `${Math.round(size / 1000)} s`;
  else if (size < HOUR) text = `${Math.floor(size / MINUTE)} min`;
  else if (size < DAY) text = `${Math.floor(size / HOUR)} h`;
  else text = `${Math.floor(size / DAY)} d`;
  return gap > 0 ? `${text} ago` : `in ${text}`;
}

/** The exact time where the reader is, with the zone: `2026-03-01 10:02:03 UTC+01:00`. */
export function exact(time: number): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "unknown time";
  const two = (value: number) => String(value).padStart(2, "0");
  const offset = -date.getTimezoneOffset();
  const zone = offset === 0
    ? "UTC"
    : `UTC${offset < 0 ? "−" : "+"}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  return (
    `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zone}`
  );
}

/** The clock where the reader is, to the second: `10:02:03`. */
export function clockSecond(time: string): string {
  return clockTime(time).slice(0, 8);
}

/** The hours of a log line's time, with milliseconds. */
export function clockTime(time: string): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return time;
  const two = (value: number) => String(value).padStart(2, "0");
  const ms = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${ms}`;
}
