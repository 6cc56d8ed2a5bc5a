/** The address as a signal, and links that change it without loading the page anew. */
import { signal } from "@preact/signals";

export interface Location {
  path: string;
  search: string;
  query: URLSearchParams;
  hash: string;
}

function read(): Location {
  const { pathname, search, hash } = window.location;
  return { path: pathname, search, query: new URLSearchParams(search), hash };
}

export const location = signal<Location>(read());

export function navigate(to: string, options: { replace?: boolean } = {}): void {
  if (to === window.location.pathname + window.location.search + window.location.hash) return;
  const { path } = location.value;
  if (options.replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  location.value = read();
  // Another page begins at its top; going back, the browser knows where one was.
  if (location.value.path !== path) window.scrollTo(0, 0);
}

/** The present path with other query values; `undefined` takes one away. */
export function withQuery(values: Record<string, string | undefined>): string {
  const query = new URLSearchParams(location.value.search);
  for (const [key, value] of Object.entries(values)) {
    if (value === undefined || value === "") query.delete(key);
    else query.set(key, value);
  }
  const text = query.toString();
  return location.value.path + (text ? `?${text}` : "");
}

/** The parts of a path, decoded; `undefined` when they cannot be. */
export function parts(path: string): string[] | undefined {
  try {
    return path.split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

function onClick(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest("a");
  if (!link || link.target || link.hasAttribute("download") || link.origin !== window.location.origin) return;
  if (link.pathname.startsWith("/api/")) return;
  if (link.hash && link.pathname === window.location.pathname && link.search === window.location.search) return;
  event.preventDefault();
  navigate(link.pathname + link.search + link.hash);
}

export function startRouter(): void {
  window.addEventListener("popstate", () => {
    location.value = read();
  });
  document.addEventListener("click", onClick);
}
