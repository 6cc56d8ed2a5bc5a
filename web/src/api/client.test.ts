import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { aborted, ProblemError, request } from "./client";

/** A server whose connection has died in silence. */
function silent(_: unknown, { signal }: RequestInit): Promise<Response> {
  return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("fetch", silent);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("what is read from a connection that has died is given up, so that it can be asked for again", async () => {
  const failed = request("GET", "/environments").catch((error: unknown) => error);
  await vi.advanceTimersByTimeAsync(30_000);
  const error = await failed;
  expect(error).toBeInstanceOf(ProblemError);
  expect((error as ProblemError).status).toBe(0);
});

test("what takes the server long is waited for", async () => {
  let done = false;
  void request("GET", "/plan", { patient: true }).catch(() => (done = true));
  void request("POST", "/sync").catch(() => (done = true));
  await vi.advanceTimersByTimeAsync(600_000);
  expect(done).toBe(false);
});

test("who does not wait any more is not told of a problem", async () => {
  const controller = new AbortController();
  const failed = request("GET", "/environments", { signal: controller.signal }).catch((error: unknown) => error);
  controller.abort();
  expect(aborted(await failed)).toBe(true);
});
