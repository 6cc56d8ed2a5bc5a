/** All environments: of a long list only what is in view is asked for and drawn. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import * as calls from "../api/calls";
import type { Class, Deployed, EnvironmentKey, EnvironmentView, Health, Sync } from "../api/contract";
import { SOON } from "../format/lifetime";
import { short } from "../format/names";
import { block, visible } from "../format/window";
import { useLive } from "../live/events";
import { throttle } from "../live/throttle";
import { location, navigate, withQuery } from "../router";
import { slowNow } from "../state/clock";
import { useResource } from "../state/resource";
import { ProblemBox } from "../ui/problem";
import { HealthMark, SyncMark } from "../ui/status";
import { Time, Until } from "../ui/time";

/** Environments are asked for in multiples of this. */
const BLOCK = 100;
/** Height of a row, in pixels: main.css has it too. */
const ROW = 64;
/** When more than so many have changed, all that is in view is asked for again. */
const FEW = 5;
const CLASSES: Class[] = ["production", "staging", "preview", "personal"];
const HEALTHS: Health[] = ["Degraded", "Missing", "Progressing", "Suspended", "Unknown", "Healthy"];
const SYNCS: Sync[] = ["OutOfSync", "Unknown", "Synced"];

interface Known {
  offset: number;
  items: EnvironmentView[];
  total: number;
}

const keyOf = ({ namespace, name }: EnvironmentKey): string => `${namespace}/${name}`;

export function Environments() {
  const search = location.value.query.get("search") ?? "";
  const only = location.value.query.get("class") ?? "";
  const health = location.value.query.get("health") ?? "";
  const sync = location.value.query.get("sync") ?? "";
  const [text, setText] = useState(search);
  const body = useRef<HTMLTableSectionElement>(null);
  const [above, setAbove] = useState(0);
  useEffect(() => {
    const timer = setTimeout(() => navigate(withQuery({ search: text || undefined }), { replace: true }), 150);
    return () => clearTimeout(timer);
  }, [text]);
  const query = { search: search || undefined, class: only || undefined, health: health || undefined, sync: sync || undefined };
  const filter = [only, health, sync, search].join(" ");
  const [total, setTotal] = useState(0);
  const view = visible(above, window.innerHeight, ROW, total);
  const { offset, limit } = block(view, BLOCK);
  const list = useResource<Known>(`list ${offset} ${limit} ${filter}`, async (signal) => {
    const answer = await calls.environments({ ...query, offset, limit }, signal);
    return { offset, items: answer.items, total: answer.total ?? answer.items.length };
  });
  // What was there stays until what is scrolled to has come, and what has changed since takes its place.
  const last = useRef<{ filter: string; known: Known } | undefined>(undefined);
  const [, redraw] = useState(0);
  if (list.data && last.current?.known !== list.data) last.current = { filter, known: list.data };
  const known = last.current?.filter === filter ? last.current.known : undefined;
  useEffect(() => {
    if (known) setTotal(known.total);
  }, [known]);
  useEffect(() => {
    const measure = () => setAbove(body.current ? -body.current.getBoundingClientRect().top : 0);
    window.addEventListener("scroll", measure, { passive: true });
    window.addEventListener("resize", measure);
    return () => {
      window.removeEventListener("scroll", measure);
      window.removeEventListener("resize", measure);
    };
  }, []);

  const changed = useRef(new Map<string, EnvironmentKey>());
  const refresh = useMemo(() => throttle(() => {
    const keys = [...changed.current.values()];
    changed.current.clear();
    const shown = last.current?.known;
    const there = keys.map((key) => shown?.items.findIndex((one) => keyOf(one) === keyOf(key)) ?? -1);
    // What has changed may not be among what is asked for any more.
    if (keys.length > FEW || there.includes(-1) || filter.trim() !== "") return list.reload();
    keys.forEach((key, index) => {
      const place = there[index] ?? -1;
      calls.environments({ namespace: key.namespace, name: key.name, limit: 1 }).then((answer) => {
        const one = answer.items[0];
        if (!one || !shown || last.current?.known !== shown) return list.reload();
        shown.items[place] = one;
        redraw((count) => count + 1);
      }, () => list.reload());
    });
  }, 150), [list.reload, filter]);
  useLive((message) => {
    if (message.type === "back") return list.reload();
    if (!message.environment) return;
    changed.current.set(keyOf(message.environment), message.environment);
    refresh();
  });

  const rows = known ? known.items.slice(Math.max(0, view.first - known.offset), Math.max(0, view.end - known.offset)) : [];
  const first = known ? Math.max(view.first, known.offset) : 0;
  return (
    <>
      <div class="head">
        <h1>Environments</h1>
        {known && known.total > BLOCK && <span class="quiet">{known.total}</span>}
        <label class="search"><span class="sr">Filter environments</span>
          <input type="search" placeholder="Filter by name, stack, release, message…" value={text}
            onInput={(event) => setText(event.currentTarget.value)} /></label>
        <Only name="class" title="Class" all="all classes" value={only} choices={CLASSES} />
        <Only name="health" title="Health" all="any health" value={health} choices={HEALTHS} />
        <Only name="sync" title="Sync" all="synced or not" value={sync} choices={SYNCS} />
      </div>
      {list.problem && <ProblemBox problem={list.problem} retry={list.reload} />}
      {known && known.total === 0 && <Empty filtered={filter.trim() !== ""} />}
      {known && known.total > 0 && (
        <div class="scroll">
          <table class="rows window" aria-rowcount={known.total + 1}>
            <caption class="sr">Environments</caption>
            <thead><tr><th scope="col">Environment</th><th scope="col">Health</th><th scope="col">Sync</th>
              <th scope="col" class="narrow-out">Stack</th><th scope="col" class="narrow-out">Release</th><th scope="col">Deployed</th><th scope="col">What to know</th></tr></thead>
            <tbody ref={body}>
              <Gap rows={first} />
              {rows.map((one, index) => <Row key={keyOf(one)} one={one} index={first + index} />)}
              <Gap rows={known.total - first - rows.length} />
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

/** Keeps what is of one kind. */
function Only({ name, title, all, value, choices }: { name: string; title: string; all: string; value: string; choices: string[] }) {
  return (
    <label><span class="sr">{title}</span>
      <select value={value} onChange={(event) => navigate(withQuery({ [name]: event.currentTarget.value }), { replace: true })}>
        <option value="">{all}</option>
        {choices.map((one) => <option key={one} value={one}>{one === "OutOfSync" ? "Out of sync" : one}</option>)}
      </select></label>
  );
}

/** Rows that are not drawn, so that the page is as long as the list. */
function Gap({ rows }: { rows: number }) {
  return rows > 0 ? <tr class="gap" aria-hidden="true" style={{ height: `${rows * ROW}px` }}><td colSpan={7} /></tr> : null;
}

function Row({ one, index }: { one: EnvironmentView; index: number }) {
  const to = `/environments/${one.namespace}/${one.name}`;
  return (
    <tr aria-rowindex={index + 2}>
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
      <td class="narrow-out">{one.stack}</td>
      <td class="mono narrow-out"><div class="two">{one.release ? short(one.release) : "–"}{one.revision && <span class="quiet one" title={one.revision}>{one.revision}</span>}</div></td>
      <td><div class="two">{one.deployed ? <Who deployed={one.deployed} /> : <span class="quiet">never</span>}</div></td>
      <td class="wide"><div class="two" title={one.message || undefined}>{one.message}</div></td>
    </tr>
  );
}

/** Who deployed what when, in two lines: the commit's message says what. What may be cut off where it is narrow is the name. */
function Who({ deployed }: { deployed: Deployed }) {
  const name = deployed.actor === "seaway" && deployed.author ? deployed.author : deployed.actor;
  return <><span class="one" title={name}><Time at={deployed.time} /> · {name}</span>{deployed.subject && <span class="quiet one" title={deployed.subject}>{deployed.subject}</span>}</>;
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
