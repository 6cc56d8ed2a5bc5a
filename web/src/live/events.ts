/** What happens on the server, once for the whole page: views subscribe to what concerns them. */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { EnvironmentKey, LedgerEvent, Progress } from "../api/contract";
import { expire } from "../state/session";
import { openStream, type Stream, type StreamState } from "./stream";

export type LiveMessage =
  | { type: "event"; event: LedgerEvent; environment?: EnvironmentKey }
  | { type: "progress"; progress: Progress; environment: EnvironmentKey }
  /** The stream is back after a pause: what happened meanwhile may not have been told. */
  | { type: "back" };

export const connection = signal<StreamState>("closed");

const listeners = new Set<(message: LiveMessage) => void>();
let stream: Stream | undefined;
let lost = false;
let hiddenTimer: ReturnType<typeof setTimeout> | undefined;

/** A hidden page gives its connection back: a browser has few of them for one server. */
const HIDDEN = 60_000;

/** The environment of a ledger event's object, `Environment/NAMESPACE/NAME`. */
export function environmentOf(object: string): EnvironmentKey | undefined {
  const [kind, namespace, name] = object.split("/");
  return kind === "Environment" && namespace && name ? { namespace, name } : undefined;
}

function tell(message: LiveMessage): void {
  for (const listener of [...listeners]) listener(message);
}

function open(): void {
  if (stream) return;
  stream = openStream("/events", {
    onState(state) {
      if (state === "reconnecting") lost = true;
      if (state === "open" && lost) {
        lost = false;
        tell({ type: "back" });
      }
      connection.value = state;
    },
    onRefused(problem) {
      if (problem.status !== 401) return true;
      stream = undefined;
      expire();
      return false;
    },
    onMessage({ event, data }) {
      try {
        if (event === "event") {
          const value = JSON.parse(data) as LedgerEvent;
          tell({ type: "event", event: value, environment: environmentOf(value.object) });
        } else if (event === "progress") {
          const value = JSON.parse(data) as Progress;
          tell({ type: "progress", progress: value, environment: value.environment });
        }
      } catch {
        // A message that is not understood is left out; the next one may be.
      }
    },
  });
}

function close(): void {
  stream?.close();
  stream = undefined;
}

/** Listens while the caller is logged in; answers how to stop. */
export function startEvents(): () => void {
  const visibility = () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) {
      hiddenTimer = setTimeout(() => {
        lost = true;
        close();
      }, HIDDEN);
    } else {
      open();
    }
  };
  document.addEventListener("visibilitychange", visibility);
  open();
  return () => {
    clearTimeout(hiddenTimer);
    document.removeEventListener("visibilitychange", visibility);
    lost = false;
    close();
  };
}

/** Calls `listener` with each message while the component is there. */
export function useLive(listener: (message: LiveMessage) => void): void {
  const latest = useRef(listener);
  latest.current = listener;
  useEffect(() => {
    const call = (message: LiveMessage) => latest.current(message);
    listeners.add(call);
    return () => {
      listeners.delete(call);
    };
  }, []);
}

/** Whether a message says that something about this environment may be different now. */
export function concerns(message: LiveMessage, key: EnvironmentKey): boolean {
  if (message.type === "back") return true;
  return message.environment?.namespace === key.namespace && message.environment.name === key.name;
}
