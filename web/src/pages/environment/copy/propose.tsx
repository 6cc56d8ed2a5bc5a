/** Handing an override back: a branch for others to merge, and what that would change. */
import { useEffect, useRef, useState } from "preact/hooks";
import * as calls from "../../../api/calls";
import type { EnvironmentKey, ProposeAnswer } from "../../../api/contract";
import { count } from "../../../format/names";
import { Dialog } from "../../../ui/dialog";
import { Planned } from "../planned";

interface Props {
  env: EnvironmentKey;
  components: string[];
  close(): void;
  done(answer: ProposeAnswer): void;
}

export function ProposeDialog({ env, components, close, done }: Props) {
  const [component, setComponent] = useState(components[0] ?? "");
  const [message, setMessage] = useState("");
  return (
    <Dialog title={components.length > 1 ? "Propose an override" : `Propose the override of ${component}`} confirm="Propose" close={close}
      act={async () => done(await calls.propose(env, component, message.trim() || undefined))}>
      <p>What the override runs is merged with the branch that {component} follows, and pushed as a branch for others to merge.
        Nothing that anybody runs is changed.</p>
      {components.length > 1 && (
        <label>Component <select value={component} onChange={(event) => setComponent(event.currentTarget.value)}>
          {components.map((one) => <option key={one} value={one}>{one}</option>)}
        </select></label>
      )}
      <label>What the commit says (optional)<textarea rows={4} value={message}
        onInput={(event) => setMessage(event.currentTarget.value)} /></label>
    </Dialog>
  );
}

export function Proposed({ answer: { proposed, effects, mergeRequest, problem }, close }: { answer: ProposeAnswer; close(): void }) {
  const section = useRef<HTMLElement>(null);
  useEffect(() => section.current?.focus(), [proposed.commit]);
  return (
    <section class="panel" aria-label="Proposal" tabIndex={-1} ref={section}>
      <div class="head">
        <h3>{proposed.unchanged ? "Proposed already" : "Proposed"}: <code>{proposed.branch}</code></h3>
        <span class="grow" />
        <button type="button" onClick={close} aria-label="Close the proposal">×</button>
      </div>
      <p>It waits to be merged into <code>{proposed.base}</code> of {proposed.repo}, at <code>{proposed.commit.slice(0, 8)}</code>.</p>
      {mergeRequest?.startsWith("https://") && <p><a href={mergeRequest} rel="noreferrer">The merge request</a></p>}
      {problem && <p class="bad">{problem}</p>}
      {effects.map(({ environment, objects, error }) => (
        <section key={`${environment.namespace}/${environment.name}`} aria-label={`In ${environment.name}`}>
          <h3>In {environment.namespace}/{environment.name}: {error ? "nobody knows what would change"
            : objects.length === 0 ? "nothing would change" : `${count(objects.length, "object")} would change`}</h3>
          {error && <p class="bad">{error}</p>}
          <Planned objects={objects} />
        </section>
      ))}
    </section>
  );
}
