/** Which part of a long list is to be seen: rows of one height, in a page that scrolls. */

export interface Window {
  /** The first row that is drawn. */
  first: number;
  /** The one after the last. */
  end: number;
}

/** Rows beyond the edges that are drawn as well, so that scrolling shows no gap. */
const MARGIN = 15;

/** `above` is how much of the list is above the view, in pixels; negative before it begins. */
export function visible(above: number, view: number, row: number, total: number): Window {
  if (row <= 0 || total <= 0) return { first: 0, end: Math.max(0, Math.min(total, 2 * MARGIN)) };
  const first = Math.floor(above / row) - MARGIN;
  const end = Math.ceil((above + view) / row) + MARGIN;
  const within = (index: number) => Math.max(0, Math.min(total, index));
  return { first: within(first), end: Math.max(within(end), within(within(first) + 1)) };
}

/** What is asked for so that a window can be drawn: whole blocks, the same ones while one scrolls a little. */
export function block({ first, end }: Window, size: number): { offset: number; limit: number } {
  const offset = Math.floor(first / size) * size;
  const limit = Math.max(1, Math.ceil((end - offset) / size)) * size;
  return { offset, limit };
}
