/**
 * A stream of server-sent events that comes back by itself.
 *
 * It reads with `fetch` rather than EventSource: the page learns why a stream was refused, sees the server's keep-alive,
 * so that a connection that died in silence (sleep, a cut cable) is noticed, and says where to go on.
 */
import { API, aborted, problemOf, unreachable, type ProblemError } from "../api/client";
import { backoff } from "./backoff";
import { SseParser, type SseMessage } from "./sse";

export type StreamState = "connecting" | "open" | "reconnecting" | "closed";

export interface StreamOptions {
  /** More of the query, asked for before each attempt: where to go on. */
  resume?(): string;
  onMessage(message: SseMessage): void;
  onState?(state: StreamState): void;
  /** The stream was refused; it ends when this answers false. */
  onRefused?(problem: ProblemError): boolean;
  /** Called at the end of a stream; answers how many milliseconds to wait at least before it is asked for again. */
  onEnd?(): number;
}

export interface Stream {
  close(): void;
  /** Tries at once rather than at the end of a wait, and takes a silent connection for lost. */
  hurry(): void;
}

/** The server says something every 15 seconds; after this silence it is taken for gone. */
const SILENCE = 45_000;
/** Who comes back (from sleep, from another tab) does not wait so long: the server should have spoken by then. */
const OVERDUE = 20_000;
/** Timers stand still while a machine sleeps: one that comes so much later than it should says that it slept. */
const TICK = 5_000;
const SLEPT = 15_000;

const open = new Set<Stream>();

function hurryAll(): void {
  for (const stream of [...open]) stream.hurry();
}

/** Lets each stream look at once whether it still lives, when the machine wakes or the page is looked at again. */
export function watchForSleep(): void {
  let last = Date.now();
  setInterval(() => {
    const now = Date.now();
    if (now - last > TICK + SLEPT) hurryAll();
    last = now;
  }, TICK);
  document.addEventListener("visibilitychange", () => !document.hidden && hurryAll());
  window.addEventListener("online", hurryAll);
  window.addEventListener("pageshow", hurryAll);
}

export function openStream(path: string, options: StreamOptions): Stream {
  let closed = false;
  let attempt = 0;
  let lastId: string | undefined;
  let controller = new AbortController();
  let wake: () => void = () => {};
  let heard = Date.now();

  const state = (state: StreamState) => options.onState?.(state);

  /** Reads until the stream ends or breaks. */
  async function read(): Promise<void> {
    controller = new AbortController();
    let timer = setTimeout(() => controller.abort(), SILENCE);
    const alive = () => {
      heard = Date.now();
      clearTimeout(timer);
      timer = setTimeout(() => controller.abort(), SILENCE);
    };
    try {
      const headers: Record<string, string> = { Accept: "text/event-stream" };
      if (lastId !== undefined) headers["Last-Event-ID"] = lastId;
      heard = Date.now();
      const response = await fetch(API + path + (options.resume?.() ?? ""), {
        headers,
        credentials: "same-origin",
        cache: "no-store",
        signal: controller.signal,
      });
      if (!response.ok || !response.body) throw await problemOf(response);
      alive();
      state("open");
      const parser = new SseParser();
      const text = new TextDecoder();
      const reader = response.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        // Only a stream that says something counts as a success: else a broken one is asked for without a pause.
        attempt = 0;
        alive();
        for (const message of parser.push(text.decode(value, { stream: true }))) {
          if (message.id !== undefined) lastId = message.id;
          if (message.data !== "" && !closed) options.onMessage(message);
        }
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async function run(): Promise<void> {
    state("connecting");
    while (!closed) {
      let problem: ProblemError | undefined;
      try {
        await read();
      } catch (error) {
        problem = !aborted(error) && error instanceof Error && "problem" in error ? (error as ProblemError) : unreachable();
      }
      if (closed) break;
      if (problem && problem.status >= 400 && !(options.onRefused?.(problem) ?? true)) break;
      const least = problem ? 0 : (options.onEnd?.() ?? 0);
      // What has ended well is not lost.
      state(least > 0 ? "connecting" : "reconnecting");
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.max(least, backoff(attempt++, Math.random())));
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    closed = true;
    open.delete(stream);
    state("closed");
  }

  const stream: Stream = {
    close() {
      closed = true;
      open.delete(stream);
      controller.abort();
      wake();
    },
    hurry() {
      wake();
      if (Date.now() - heard > OVERDUE) controller.abort();
    },
  };
  open.add(stream);
  void run();
  return stream;
}
