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
  onMessage(message: SseMessage): void;
  onState?(state: StreamState): void;
  /** The stream was refused; it ends when this answers false. */
  onRefused?(problem: ProblemError): boolean;
  /** Called at the end of a stream; it ends for good when this answers false. */
  onEnd?(): boolean;
}

export interface Stream {
  close(): void;
  /** Tries at once rather than at the end of the wait. */
  hurry(): void;
}

/** The server says something every 15 seconds; after this silence it is taken for gone. */
const SILENCE = 45_000;

export function openStream(path: string, options: StreamOptions): Stream {
  let closed = false;
  let attempt = 0;
  let lastId: string | undefined;
  let controller = new AbortController();
  let wake: () => void = () => {};

  const state = (state: StreamState) => options.onState?.(state);

  /** Reads until the stream ends or breaks. */
  async function read(): Promise<void> {
    controller = new AbortController();
    let timer = setTimeout(() => controller.abort(), SILENCE);
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => controller.abort(), SILENCE);
    };
    try {
      const headers: Record<string, string> = { Accept: "text/event-stream" };
      if (lastId !== undefined) headers["Last-Event-ID"] = lastId;
      const response = await fetch(API + path, {
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
      const goesOn = problem && problem.status >= 400 ? (options.onRefused?.(problem) ?? true) : (options.onEnd?.() ?? true);
      if (!goesOn) break;
      state("reconnecting");
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, backoff(attempt++, Math.random()));
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    closed = true;
    state("closed");
  }

  void run();
  return {
    close() {
      closed = true;
      controller.abort();
      wake();
    },
    hurry() {
      wake();
    },
  };
}
