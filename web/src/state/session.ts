/** Who is logged in, and where to go when nobody is. */
import { signal } from "@preact/signals";
import * as calls from "../api/calls";
import { onUnauthorized, ProblemError } from "../api/client";
import type { Session } from "../api/contract";
import { location, navigate } from "../router";

/** `undefined`: not asked yet; `null`: nobody. */
export const session = signal<Session | null | undefined>(undefined);
export const sessionProblem = signal<ProblemError | undefined>(undefined);

/** Where to go after the login: only a path of this page, never another site. */
export function nextOf(query: URLSearchParams): string {
  const next = query.get("next") ?? "/";
  return /^\/(?![/\\])/.test(next) && !/^\/(login|setup|join)\b/.test(next) ? next : "/";
}

/** Nobody is logged in any more: to the login, and back here afterwards. */
export function expire(): void {
  session.value = null;
  const { path, search } = location.value;
  if (path === "/login" || path === "/setup" || path === "/join") return;
  const next = path + search;
  navigate(next === "/" ? "/login" : `/login?next=${encodeURIComponent(next)}`, { replace: true });
}

export async function loadSession(): Promise<void> {
  sessionProblem.value = undefined;
  try {
    session.value = await calls.session();
  } catch (error) {
    if (error instanceof ProblemError && error.status !== 401) sessionProblem.value = error;
  }
}

export async function logout(): Promise<void> {
  await calls.logout();
  session.value = null;
  navigate("/login");
}

onUnauthorized(expire);
