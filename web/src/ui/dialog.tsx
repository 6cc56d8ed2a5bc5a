/** A question before something is changed. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { ProblemError } from "../api/client";
import { asProblem } from "../state/resource";
import { ProblemBox } from "./problem";

interface Props {
  title: string;
  confirm: string;
  children: ComponentChildren;
  /** Whether it can be done as things stand. */
  ready?: boolean;
  /** Does it; the dialog stays open with the reason when it fails. */
  act(): Promise<void>;
  close(): void;
}

export function Dialog({ title, confirm, children, ready = true, act, close }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<ProblemError>();
  useEffect(() => dialog.current?.showModal(), []);
  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    try {
      await act();
      close();
    } catch (error) {
      setProblem(asProblem(error));
      setBusy(false);
    }
  }
  return (
    <dialog ref={dialog} aria-labelledby="dialog-title" onClose={close}>
      <form onSubmit={(event) => void submit(event)}>
        <h2 id="dialog-title">{title}</h2>
        {children}
        {problem && <ProblemBox problem={problem} />}
        <p class="buttons">
          <button type="button" onClick={() => dialog.current?.close()}>Cancel</button>
          <button type="submit" class="primary" disabled={busy || !ready}>{busy ? "Working…" : confirm}</button>
        </p>
      </form>
    </dialog>
  );
}
