/** Lets in a command line of one's own: `seaway login` opens this. */
import { useState } from "preact/hooks";
import * as calls from "../api/calls";
import type { ProblemError } from "../api/client";
import { location } from "../router";
import { asProblem } from "../state/resource";
import { session } from "../state/session";
import { ProblemBox } from "../ui/problem";

export function CommandLine() {
  const { query } = location.value;
  const challenge = query.get("challenge") ?? "";
  const port = Number(query.get("port") ?? 0);
  const state = query.get("state") ?? "";
  const [busy, setBusy] = useState(false);
  const [code, setCode] = useState<string>();
  const [problem, setProblem] = useState<ProblemError>();
  if (!/^[\w-]{43}$/.test(challenge)) return <><h1>Log in a command line</h1><p>The link is not complete: copy all of what <code>seaway login</code> printed.</p></>;
  async function allow(): Promise<void> {
    setBusy(true);
    setProblem(undefined);
    try {
      const admission = await calls.admit(challenge);
      // Only to this machine's own loopback, and only where the command line said that it listens.
      if (Number.isInteger(port) && port > 0 && port < 65536 && /^[\w-]{1,128}$/.test(state)) {
        window.location.assign(`http://127.0.0.1:${port}/?${new URLSearchParams({ code: admission.code, state })}`);
      } else {
        setCode(admission.code);
      }
    } catch (error) {
      setProblem(asProblem(error));
    }
    setBusy(false);
  }
  return (
    <section class="panel allow">
      <h1>Log in a command line</h1>
      <p>A command line wants to act as <strong>{session.value?.user}</strong>, with all that you may do, until you log it out there or do not use it for twelve hours.</p>
      <p>It must show the same as this:</p>
      <p class="compare mono">{challenge.slice(0, 4)} {challenge.slice(4, 8)}</p>
      <p>Allow it only if you began this with <code>seaway login</code> yourself, just now. Nobody else needs you to.</p>
      {problem && <ProblemBox problem={problem} />}
      {code === undefined
        ? <p><button type="button" class="primary" disabled={busy} onClick={() => void allow()}>Allow</button> <a class="button" href="/">No</a></p>
        : <label class="once">Code for the command line <input readOnly value={code} onFocus={(event) => event.currentTarget.select()} /></label>}
    </section>
  );
}
