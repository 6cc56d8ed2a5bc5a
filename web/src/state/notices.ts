/** Short messages that outlive the view that caused them. */
import { signal } from "@preact/signals";
import type { ProblemError } from "../api/client";

export interface Notice {
  id: number;
  kind: "done" | "problem";
  text: string;
  help?: string;
}

export const notices = signal<Notice[]>([]);
let next = 1;

export function dismiss(id: number): void {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

/** Says that something is done; goes away by itself. */
export function say(text: string): void {
  const id = next++;
  notices.value = [...notices.value.slice(-3), { id, kind: "done", text }];
  setTimeout(() => dismiss(id), 8000);
}

/** Says what failed; stays until it is dismissed. */
export function complain(what: string, { problem }: ProblemError): void {
  const text = `${what}: ${problem.detail || problem.title}`;
  notices.value = [...notices.value.slice(-3), { id: next++, kind: "problem", text, help: problem.help ?? undefined }];
}
