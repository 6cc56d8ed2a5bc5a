/** One request to the server: JSON in, JSON out, and each failure as a ProblemError. */
import type { Problem } from "./contract";

export const API = "/api/v1";

/** Why a request failed, in the server's words where it answered. */
export class ProblemError extends Error {
  constructor(
    readonly problem: Problem,
    readonly retryAfter?: number,
  ) {
    super(problem.detail || problem.title);
    this.name = "ProblemError";
  }

  get status(): number {
    return this.problem.status;
  }
}

export type Query = Record<string, string | number | boolean | undefined | null>;

export interface RequestOptions {
  query?: Query;
  body?: unknown;
  signal?: AbortSignal;
  /** The answer takes the server as long as it takes: it computes, or asks others. */
  patient?: boolean;
}

/** Milliseconds after which what is only read is given up: a connection that died while the machine slept says nothing. */
const PATIENCE = 30_000;

/** Ends with `signal`, or when the time is over, which is another reason than that nobody waits any more. */
function inTime(signal: AbortSignal | undefined): AbortSignal {
  const controller = new AbortController();
  const stop = () => controller.abort(signal?.reason);
  setTimeout(() => {
    signal?.removeEventListener("abort", stop);
    controller.abort(new DOMException("no answer in time", "TimeoutError"));
  }, PATIENCE);
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  return controller.signal;
}

let unauthorized: () => void = () => {};

/** What happens when the server no longer knows who is asking. */
export function onUnauthorized(handler: () => void): void {
  unauthorized = handler;
}

export function url(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== false) search.set(key, String(value));
  }
  const text = search.toString();
  return API + path + (text ? `?${text}` : "");
}

/** Reads the problem of an answer; one that is none (a proxy's page) is described by its status. */
export async function problemOf(response: Response): Promise<ProblemError> {
  const retryAfter = Number(response.headers.get("retry-after")) || undefined;
  try {
    const problem = (await response.json()) as Problem;
    if (typeof problem.status === "number" && typeof problem.title === "string") {
      return new ProblemError(problem, retryAfter);
    }
  } catch {
    // Not JSON: described below.
  }
  const problem: Problem = {
    type: "about:blank",
    title: "The server answered with an error",
    status: response.status,
    detail: `status ${response.status} ${response.statusText}`.trim(),
  };
  return new ProblemError(problem, retryAfter);
}

export function unreachable(): ProblemError {
  return new ProblemError({
    type: "about:blank",
    title: "The server is not reached",
    status: 0,
    detail: "No answer came from the server.",
    help: "Check that seaway runs and that this machine is connected; then try again.",
  });
}

/** Whether an error only says that nobody waits for the answer any more. */
export function aborted(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** Sends a request as the person who is logged in; the answer is checked, its body not yet read. */
export async function send(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json" };
  // The cookie alone must not be enough to change something: another site cannot set this header.
  if (method !== "GET") headers["X-Seaway-CSRF"] = "1";
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(url(path, options.query), {
      method,
      headers,
      credentials: "same-origin",
      body: options.body === undefined ? undefined : JSON.stringify(options.body),
      signal: method === "GET" && !options.patient ? inTime(options.signal) : options.signal,
    });
  } catch (error) {
    if (aborted(error)) throw error;
    throw unreachable();
  }
  if (response.ok) return response;
  const problem = await problemOf(response);
  if (response.status === 401 && path !== "/login") unauthorized();
  throw problem;
}

export async function request<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
  const response = await send(method, path, options);
  try {
    return (await response.json()) as T;
  } catch (error) {
    if (aborted(error)) throw error;
    throw unreachable();
  }
}
