/** What runs something else than the stack says: made, ended, handed back. */
import { useState } from "preact/hooks";
import * as calls from "../../../api/calls";
import type { ProblemError } from "../../../api/client";
import type { EnvironmentDetail, EnvironmentKey, OverrideView, ProposeAnswer } from "../../../api/contract";
import { ending } from "../../../format/lifetime";
import { value } from "../../../format/names";
import { complain, say } from "../../../state/notices";
import { asProblem } from "../../../state/resource";
import { may } from "../../../state/rights";
import { LifetimeChoice } from "../../../ui/lifetime";
import { ProblemBox } from "../../../ui/problem";
import { Until } from "../../../ui/time";
import type { ViewProps } from "../index";
import { Proposed, ProposeDialog } from "./propose";

export function OverridesView({ env, detail, reload }: ViewProps) {
  const [proposing, setProposing] = useState(false);
  const [answer, setAnswer] = useState<ProposeAnswer>();
  const [ending, setEnding] = useState<string>();
  if (!detail) return null;
  const overrides = detail.overrides ?? [];
  const mine = may("update", detail);
  const branches = overrides.filter((one) => one.active && (one.revision || one.images?.length)).map((one) => one.component);
  async function end(component: string): Promise<void> {
    setEnding(component);
    try {
      await calls.override(env, { component, remove: true });
      say(`The override of ${component} is ended`);
    } catch (error) {
      complain(`The override of ${component} goes on`, asProblem(error));
    }
    setEnding(undefined);
    reload();
  }
  return (
    <>
      <div class="head">
        <h2>Overrides</h2>
        <span class="grow" />
        {mine && branches.length > 0 && <button type="button" onClick={() => setProposing(true)}>Propose…</button>}
      </div>
      {overrides.length === 0 && <p>Every component runs what {detail.copy ? `${detail.copy.of} runs` : "the stack says"}.</p>}
      {overrides.length > 0 && (
        <div class="scroll">
          <table class="rows">
            <caption class="sr">Overrides</caption>
            <thead><tr><th scope="col">Component</th><th scope="col">Runs</th><th scope="col">Why</th>
              <th scope="col">Until</th><th scope="col"><span class="sr">Actions</span></th></tr></thead>
            <tbody>
              {overrides.map((one) => (
                <tr key={one.component}>
                  <th scope="row">{one.component}{!one.active && <> <span class="tag">over</span></>}</th>
                  <td class="any"><Runs one={one} /></td>
                  <td class="any">{one.reason}{one.conflict && <p class="quiet">{one.conflict}</p>}</td>
                  <td>{one.expires ? <Until at={one.expires} /> : "it is ended"}</td>
                  <td class="acts">{mine && (
                    <button type="button" disabled={ending === one.component} aria-label={`End the override of ${one.component}`}
                      onClick={() => void end(one.component)}>End</button>
                  )}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {answer && <Proposed answer={answer} close={() => setAnswer(undefined)} />}
      {mine && detail.copy && <OverrideForm env={env} detail={detail} components={detail.copy.components} done={reload} />}
      {proposing && (
        <ProposeDialog env={env} components={branches} close={() => setProposing(false)} done={(made) => {
          setAnswer(made);
          reload();
        }} />
      )}
    </>
  );
}

function Runs({ one }: { one: OverrideView }) {
  return (
    <>
      {one.revision && <><code>{one.revision}</code>{one.commit && <span class="mono quiet"> {one.commit.slice(0, 8)}</span>}</>}
      {one.repo && <div class="quiet">of {one.repo}</div>}
      {one.images?.map((image) => (
        <div key={image.name}>image <code>{image.name}</code> → <code>{image.newName ?? image.name}{image.tag && `:${image.tag}`}{image.digest && `@${image.digest}`}</code></div>
      ))}
      {Object.entries(one.parameters ?? {}).map(([name, to]) => <div key={name}><code>{name}</code> = <code>{value(to)}</code></div>)}
      {one.proposal && <div class="why">proposed as <code>{one.proposal.branch}</code>, waits to be merged</div>}
    </>
  );
}

function OverrideForm({ env, detail, components, done }: { env: EnvironmentKey; detail: EnvironmentDetail; components: string[]; done(): void }) {
  const [chosen, setComponent] = useState<string>();
  const [revision, setRevision] = useState("");
  const [reason, setReason] = useState("");
  const [days, setDays] = useState(0);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<ProblemError>();
  const component = chosen ?? components[0] ?? "";
  const present = detail.overrides?.find((one) => one.component === component);
  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    try {
      await calls.override(env, {
        component,
        revision: revision.trim(),
        reason: reason.trim() || null,
        expires: ending(days, Date.now()) ?? null,
      });
      say(`${component} is to run ${revision.trim()}`);
      setRevision("");
      setReason("");
      done();
    } catch (error) {
      setProblem(asProblem(error));
    }
    setBusy(false);
  }
  return (
    <form class="panel" aria-labelledby="override-title" onSubmit={(event) => void submit(event)}>
      <h3 id="override-title">Override a component</h3>
      <p class="quiet">A branch is followed: what is pushed to it goes live here, and nowhere else.</p>
      <div class="inline">
        <label>Component <select value={component} onChange={(event) => setComponent(event.currentTarget.value)}>
          {components.map((one) => <option key={one} value={one}>{one}</option>)}
        </select></label>
        <label>Branch, tag or commit <input required value={revision} autocomplete="off" autocapitalize="none" spellcheck={false}
          onInput={(event) => setRevision(event.currentTarget.value)} /></label>
        <label>Reason (optional) <input value={reason} onInput={(event) => setReason(event.currentTarget.value)} /></label>
        <LifetimeChoice label="How long" days={days} never="until it is ended" choose={setDays} />
        <button type="submit" class="primary" disabled={busy}>{busy ? "Working…" : "Override"}</button>
      </div>
      {present && <p class="quiet">It takes the place of the present override of {component}.</p>}
      {problem && <ProblemBox problem={problem} />}
    </form>
  );
}
