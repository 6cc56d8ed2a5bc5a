/** Making a copy: three choices, and what would come of them before anything is made. */
import { useEffect, useRef, useState } from "preact/hooks";
import * as calls from "../../../api/calls";
import { aborted, ProblemError } from "../../../api/client";
import type { CopyAnswer, CopyView, EnvironmentDetail, EnvironmentKey } from "../../../api/contract";
import { label, labelProblem } from "../../../format/dns";
import { ending, USUAL } from "../../../format/lifetime";
import { navigate } from "../../../router";
import { say } from "../../../state/notices";
import { useResource } from "../../../state/resource";
import { session } from "../../../state/session";
import { Dialog } from "../../../ui/dialog";
import { LifetimeChoice } from "../../../ui/lifetime";
import { NamesMap } from "../../../ui/names-map";
import { ProblemBox } from "../../../ui/problem";

/** How long typing may pause before the server is asked. */
const PAUSE = 300;
/** How often and how long a new copy is waited for. */
const AGAIN = 150;
const PATIENCE = 5000;

export function MakeCopy({ detail, close }: { detail: EnvironmentDetail; close(): void }) {
  const all = detail.current?.components.map((component) => component.name) ?? [];
  const [name, setName] = useState(() => label(session.value?.user ?? "", detail.name));
  const [left, setLeft] = useState<ReadonlySet<string>>(new Set());
  const [days, setDays] = useState(USUAL);
  const wrong = labelProblem(name);
  const none = all.length > 0 && left.size === all.length;
  const wanted = {
    name,
    copyOf: `${detail.namespace}/${detail.name}`,
    // All of them is not the same as each of them: what the stack gains later is copied as well.
    components: left.size === 0 ? [] : all.filter((one) => !left.has(one)),
  };
  const asked = wrong || none ? "" : JSON.stringify(wanted);
  const key = usePause(asked);
  const preview = useResource<CopyAnswer | undefined>(key, async (signal) =>
    key === "" ? undefined : calls.copy({ ...JSON.parse(key), dryRun: true }, signal));
  const last = useRef<CopyView | undefined>(undefined);
  if (preview.data) last.current = preview.data.copy;
  const current = key === asked && !preview.loading;
  const shown = preview.data?.copy ?? (current ? undefined : last.current);

  async function make(): Promise<void> {
    const { environment } = await calls.copy({ ...wanted, expires: ending(days, Date.now()) ?? null });
    await seen(environment);
    say(`${environment.name} is being made`);
    navigate(`/environments/${environment.namespace}/${environment.name}/timeline`);
  }
  function toggle(component: string): void {
    const next = new Set(left);
    if (!next.delete(component)) next.add(component);
    setLeft(next);
  }

  return (
    <Dialog title={`Make a copy of ${detail.name}`} confirm="Make it" close={close} act={make}
      ready={current && preview.data !== undefined}>
      <label>Name
        <input value={name} required maxLength={80} autocomplete="off" autocapitalize="none" spellcheck={false}
          aria-invalid={wrong !== undefined} aria-describedby={wrong ? "copy-name" : undefined}
          onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      {wrong && <p id="copy-name" class="bad" role="alert">{wrong}</p>}
      {all.length > 0 && (
        <fieldset>
          <legend>Components</legend>
          {all.map((one) => (
            <label key={one} class="check"><input type="checkbox" checked={!left.has(one)} onChange={() => toggle(one)} /> {one}</label>
          ))}
        </fieldset>
      )}
      {none && <p class="bad" role="alert">At least one component is needed.</p>}
      <LifetimeChoice label="How long to keep it" days={days} never="until it is deleted" choose={setDays} />
      <div class="preview" role="region" aria-label="What the copy will be" aria-busy={!current} tabIndex={0}>
        {current && preview.problem && <ProblemBox problem={preview.problem} retry={preview.problem.status === 0 ? preview.reload : undefined} />}
        {shown ? <Preview copy={shown} /> : !current && <p class="quiet" role="status">Asking what it will be called…</p>}
      </div>
    </Dialog>
  );
}

function Preview({ copy }: { copy: CopyView }) {
  return (
    <>
      <NamesMap title="Namespace" names={copy.namespaces} />
      <NamesMap title="Host" names={copy.hosts} />
      <LeftOut copy={copy} />
      {copy.warnings?.map((warning) => <p key={warning} class="quiet">Note: {warning}.</p>)}
    </>
  );
}

export function LeftOut({ copy }: { copy: CopyView }) {
  if (!copy.leftOut?.length) return null;
  return (
    <>
      <h3>Not copied</h3>
      <ul class="events">{copy.leftOut.map((one) => <li key={one.object}><strong>{one.object}</strong>: {one.reason}</li>)}</ul>
    </>
  );
}

/** The value, once it has not changed for a moment. */
function usePause(value: string): string {
  const [calm, setCalm] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setCalm(value), PAUSE);
    return () => clearTimeout(timer);
  }, [value]);
  return calm;
}

/** Waits until the server has seen what it was told to make. */
async function seen(key: EnvironmentKey): Promise<void> {
  const end = Date.now() + PATIENCE;
  while (Date.now() < end) {
    try {
      await calls.environment(key);
      return;
    } catch (error) {
      if (aborted(error) || !(error instanceof ProblemError) || error.status !== 404) return;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN));
  }
}
