/** What a sync would do: of what is followed, or of a branch. */
import { useEffect, useState } from "preact/hooks";
import * as calls from "../../api/calls";
import { count } from "../../format/names";
import { location, navigate, withQuery } from "../../router";
import { useResource } from "../../state/resource";
import { ProblemBox } from "../../ui/problem";
import type { ViewProps } from "./index";
import { Planned } from "./planned";

export function PlanView({ env, beat }: ViewProps) {
  const revision = location.value.query.get("revision") || undefined;
  const [text, setText] = useState(revision ?? "");
  const plan = useResource(`plan ${env.namespace}/${env.name} ${revision ?? ""}`, (signal) => calls.plan(env, revision, signal));
  useEffect(() => {
    if (beat > 0) plan.reload();
  }, [beat]);
  const changed = plan.data?.objects.filter((object) => object.action !== "unchanged") ?? [];
  const unchanged = (plan.data?.objects.length ?? 0) - changed.length;
  return (
    <>
      <form class="inline" onSubmit={(event) => {
        event.preventDefault();
        navigate(withQuery({ revision: text.trim() || undefined }));
      }}>
        <label>Branch, tag or commit <input value={text} placeholder="what is followed" autocapitalize="none"
          onInput={(event) => setText(event.currentTarget.value)} /></label>
        <button type="submit" class="primary">Show plan</button>
      </form>
      <p role="status">{plan.loading ? "Fetching, rendering and comparing…" : plan.data
        ? changed.length === 0 ? "Nothing would change." : `${count(changed.length, "object")} would change, ${unchanged} stay as they are.` : ""}</p>
      {plan.problem && <ProblemBox problem={plan.problem} retry={plan.reload} />}
      {plan.data?.blocked && <p class="strip bad">{plan.data.blocked}</p>}
      {plan.data?.unasked && <p class="strip info">
        Not asked of the cluster: it is before the first sync, and it may still refuse some of it.</p>}
      <Planned objects={changed} />
    </>
  );
}
