/** All environments, as far as they are wanted. */
import { useEffect, useMemo, useState } from "preact/hooks";
import * as calls from "../api/calls";
import type { Class, EnvironmentView } from "../api/contract";
import { SOON } from "../format/lifetime";
import { short } from "../format/names";
import { useLive } from "../live/events";
import { throttle } from "../live/throttle";
import { location, navigate, withQuery } from "../router";
import { slowNow } from "../state/clock";
import { useResource } from "../state/resource";
import { ProblemBox } from "../ui/problem";
import { HealthMark, SyncMark } from "../ui/status";
import { Until } from "../ui/time";

/** Environments that are asked for at once. */
const PAGE = 100;
const CLASSES: Class[] = ["production", "staging", "preview", "personal"];

export function Environments() {
  const search = location.value.query.get("search") ?? "";
  const only = location.value.query.get("class") ?? "";
  const [text, setText] = useState(search);
  const [pages, setPages] = useState(1);
  useEffect(() => {
    const timer = setTimeout(() => navigate(withQuery({ search: text || undefined }), { replace: true }), 150);
    return () => clearTimeout(timer);
  }, [text]);
  useEffect(() => setPages(1), [search, only]);
  const list = useResource(`list ${pages} ${only} ${search}`, async (signal) => {
    const items: EnvironmentView[] = [];
    let next: string | undefined;
    for (let page = 0; page < pages; page++) {
      const answer = await calls.environments({ search: search || undefined, class: only || undefined, limit: PAGE, continue: next }, signal);
      items.push(...answer.items);
      next = answer.continue ?? undefined;
      if (!next) break;
    }
    return { items, more: next !== undefined };
  });
  const reload = useMemo(() => throttle(list.reload, 500), [list.reload]);
  useLive((message) => (message.type !== "event" || message.environment) && reload());
  const shown = list.data?.items ?? [];
  return (
    <>
      <div class="head">
        <h1>Environments</h1>
        <label class="search"><span class="sr">Filter environments</span>
          <input type="search" placeholder="Filter by name, stack, release, message…" value={text}
            onInput={(event) => setText(event.currentTarget.value)} /></label>
        <label><span class="sr">Class</span>
          <select value={only} onChange={(event) => navigate(withQuery({ class: event.currentTarget.value }), { replace: true })}>
            <option value="">all classes</option>
            {CLASSES.map((one) => <option key={one} value={one}>{one}</option>)}
          </select></label>
      </div>
      {list.problem && <ProblemBox problem={list.problem} retry={list.reload} />}
      {list.data && shown.length === 0 && <Empty filtered={search !== "" || only !== ""} />}
      {shown.length > 0 && (
        <div class="scroll">
          <table class="rows">
            <caption class="sr">Environments</caption>
            <thead><tr><th scope="col">Environment</th><th scope="col">Health</th><th scope="col">Sync</th>
              <th scope="col">Stack</th><th scope="col">Release</th><th scope="col">What to know</th></tr></thead>
            <tbody>{shown.map((one) => <Row key={`${one.namespace}/${one.name}`} one={one} />)}</tbody>
          </table>
        </div>
      )}
      {list.data?.more && <p><button type="button" onClick={() => setPages(pages + 1)}>Show more</button></p>}
    </>
  );
}

function Row({ one }: { one: EnvironmentView }) {
  const to = `/environments/${one.namespace}/${one.name}`;
  return (
    <tr>
      <th scope="row"><a href={to}>{one.name}</a> <span class={`tag class-${one.class}`}>{one.class}</span>
        {(one.owner || one.expires) && (
          <div class="quiet">
            {one.owner}{one.owner && one.expires && " · "}
            {one.expires && <span class={Date.parse(one.expires) - slowNow.value < SOON ? "why" : ""}>deleted <Until at={one.expires} /></span>}
          </div>
        )}
      </th>
      <td><HealthMark health={one.health} /></td>
      <td><SyncMark sync={one.sync} /></td>
      <td>{one.stack}</td>
      <td class="mono">{one.release ? short(one.release) : "–"}{one.revision && <span class="quiet"> {one.revision}</span>}</td>
      <td class="wide">{one.message}</td>
    </tr>
  );
}

function Empty({ filtered }: { filtered: boolean }) {
  if (filtered) return <p>No environment matches. Clear the filter to see all of them.</p>;
  return (
    <div class="note">
      <p>There is no environment yet. An environment is a stack in a place; two objects make one:</p>
      <pre>{`kubectl apply -f - <<'YAML'
apiVersion: seaway.dev/v1alpha1
kind: Stack
metadata: {name: shop, namespace: seaway}
spec:
  components:
  - name: web
    source: {repo: "https://git.example.com/shop.git", path: ".", revision: main}
---
apiVersion: seaway.dev/v1alpha1
kind: Environment
metadata: {name: production, namespace: seaway}
spec:
  stack: shop
  class: production
  destination: {namespace: shop}
  sync: {automated: true, prune: true, selfHeal: true}
YAML`}</pre>
    </div>
  );
}
