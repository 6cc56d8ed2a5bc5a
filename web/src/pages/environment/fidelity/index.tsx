/** How far an environment is from another one, field by field, and why. */
import { useEffect, useMemo } from "preact/hooks";
import * as calls from "../../../api/calls";
import type { DifferenceClass, DriftedField, FidelityView as Fidelity } from "../../../api/contract";
import { count, fullLabel, short, value } from "../../../format/names";
import { throttle } from "../../../live/throttle";
import { location, navigate, withQuery } from "../../../router";
import { useResource } from "../../../state/resource";
import { useMore } from "../../../ui/more";
import { ProblemBox } from "../../../ui/problem";
import { Time } from "../../../ui/time";
import type { ViewProps } from "../index";
import { CLASSES, counts, grouped, percent } from "./groups";
import { Group, NAMES } from "./object";

/** Objects, and drifted fields, that are shown at once. */
const STEP = 50;

export function FidelityView({ env, detail, beat }: ViewProps) {
  const key = `${env.namespace}/${env.name}`;
  const against = location.value.query.get("against") ?? undefined;
  const other = against ?? detail?.copyOf;
  const result = useResource(`fidelity ${key} ${other ?? ""}`, async (signal) =>
    other === undefined ? undefined : calls.fidelity(env, other, signal));
  const again = useMemo(() => throttle(result.reload, 2000), [result.reload]);
  useEffect(() => {
    if (beat > 0) again();
    return again.cancel;
  }, [beat, again]);
  const others = useResource("fidelity choices", (signal) => calls.environments({ limit: 500 }, signal));
  const choices = (others.data?.items ?? []).map((one) => `${one.namespace}/${one.name}`).filter((one) => one !== key);
  if (other !== undefined && !choices.includes(other)) choices.unshift(other);
  return (
    <>
      <div class="inline">
        <label>Compared with{" "}
          <select value={other ?? ""} onChange={(event) => {
            const chosen = event.currentTarget.value;
            navigate(withQuery({ against: chosen === detail?.copyOf ? undefined : chosen, class: undefined }));
          }}>
            {other === undefined && <option value="">choose an environment</option>}
            {choices.map((one) => <option key={one} value={one}>{one}{one === detail?.copyOf ? " (what it is a copy of)" : ""}</option>)}
          </select>
        </label>
      </div>
      {other === undefined && detail && <p>Choose an environment to compare {env.name} with.</p>}
      {other !== undefined && !result.data && !result.problem && <p role="status">Comparing…</p>}
      {result.problem && <ProblemBox problem={result.problem} retry={result.reload} />}
      {result.data && <Compared key={other} fidelity={result.data} />}
    </>
  );
}

function Compared({ fidelity }: { fidelity: Fidelity }) {
  const asked = location.value.query.get("class");
  const only = CLASSES.find((one) => one === asked);
  const numbers = useMemo(() => counts(fidelity.differences), [fidelity]);
  const left = `${fidelity.against.namespace}/${fidelity.against.name}`;
  const right = `${fidelity.environment.namespace}/${fidelity.environment.name}`;
  return (
    <>
      <dl class="figures">
        <div class="score"><dt>Fidelity</dt><dd>{percent(fidelity.score)}</dd></div>
        <div><dt>Identical</dt><dd>{fidelity.identical.toLocaleString("en")}</dd></div>
        <div><dt>Declared</dt><dd>{fidelity.declared.toLocaleString("en")}</dd></div>
        <div class={fidelity.undeclared > 0 ? "alarm" : ""}><dt>Undeclared</dt><dd>{fidelity.undeclared.toLocaleString("en")}</dd></div>
      </dl>
      <p class="quiet">
        {fidelity.total.toLocaleString("en")} fields: <span class="mono">{short(fidelity.leftRelease)}</span> in {left}, and{" "}
        <span class="mono">{short(fidelity.rightRelease)}</span> in {right}.
      </p>
      {fidelity.undeclared > 0 && (
        <p class="strip warn">{count(fidelity.undeclared, "field")} differ, and no rule, override or stand-in says why.</p>
      )}
      {fidelity.differences.length === 0 ? <p>Nothing differs.</p> : (
        <>
          <div class="inline">
            <label>Why they differ{" "}
              <select value={only ?? ""} onChange={(event) => navigate(withQuery({ class: event.currentTarget.value }), { replace: true })}>
                <option value="">all ({fidelity.differences.length})</option>
                {CLASSES.map((one) => <option key={one} value={one}>{NAMES[one]} ({numbers.get(one) ?? 0})</option>)}
              </select>
            </label>
          </div>
          <Groups key={only} fidelity={fidelity} only={only} left={left} right={right} />
        </>
      )}
      <Drifted title={`Drift in ${left}`} fields={fidelity.drift.left} />
      <Drifted title={`Drift in ${right}`} fields={fidelity.drift.right} />
    </>
  );
}

interface GroupsProps {
  fidelity: Fidelity;
  only: DifferenceClass | undefined;
  left: string;
  right: string;
}

function Groups({ fidelity, only, left, right }: GroupsProps) {
  const groups = useMemo(() => grouped(fidelity.differences, only), [fidelity, only]);
  const { shown, more } = useMore(groups, STEP);
  if (groups.length === 0) return <p>None differs for this reason.</p>;
  return (
    <>
      <ul class="plan" aria-label="Differences">
        {shown.map((group) => <Group key={group.key} group={group} left={left} right={right} />)}
      </ul>
      {more}
    </>
  );
}

/** What somebody has changed past Git: it is no difference of the two, and may be gone in a moment. */
function Drifted({ title, fields }: { title: string; fields: DriftedField[] }) {
  const { shown, more } = useMore(fields, STEP);
  if (fields.length === 0) return null;
  return (
    <section class="strip warn" aria-label={title}>
      <strong>{title}: {count(fields.length, "field")} changed in the cluster, and not in Git</strong>
      <ul>
        {shown.map((field) => (
          <li key={fullLabel(field.object) + field.path}>
            {fullLabel(field.object)} <code>{field.path}</code>: <code>{value(field.to) || "–"}</code> in Git, now{" "}
            <code>{value(field.from) || "–"}</code>
            {field.owner && <> – set by <strong>{field.owner.manager}</strong> <Time at={field.owner.time} /></>}
          </li>
        ))}
      </ul>
      {more}
    </section>
  );
}
