/** One environment: its state at the top, its views as tabs below. */
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import * as calls from "../../api/calls";
import type { EnvironmentDetail, EnvironmentKey, LinkView, Tree } from "../../api/contract";
import { count, fullLabel, short, value } from "../../format/names";
import { concerns, useLive } from "../../live/events";
import { throttle } from "../../live/throttle";
import { complain, say } from "../../state/notices";
import { slowNow } from "../../state/clock";
import { learn, may } from "../../state/rights";
import { asProblem, useResource, type Resource } from "../../state/resource";
import { session } from "../../state/session";
import { ProblemBox } from "../../ui/problem";
import { HealthMark, SyncMark } from "../../ui/status";
import { DeployedBy, Time } from "../../ui/time";
import { DeleteDialog } from "./delete";
import { MakeCopy } from "./copy/make";
import { OverridesView } from "./copy/overrides";
import { CopyStrip } from "./copy/strip";
import { FidelityView } from "./fidelity";
import { HistoryView, RollbackDialog } from "./history";
import { LogsView } from "./logs";
import { PlanView } from "./plan";
import { TABS } from "./tabs";
import { TimelineView } from "./timeline";
import { TrafficPage } from "./traffic";
import { TreeView } from "./tree";

export interface ViewProps {
  env: EnvironmentKey;
  detail: EnvironmentDetail | undefined;
  tree: Resource<Tree>;
  /** Asks again for everything that is shown. */
  reload(): void;
  /** Rises with everything that happens here. */
  beat: number;
}

export function EnvironmentPage({ namespace, name, tab }: EnvironmentKey & { tab: string }) {
  const env = useMemo(() => ({ namespace, name }), [namespace, name]);
  const key = `${namespace}/${name}`;
  const detail = useResource(`detail ${key}`, (signal) => calls.environment(env, signal));
  const tree = useResource(`tree ${key}`, (signal) => calls.tree(env, signal));
  const rights = useResource(`rights ${key}`, (signal) => calls.rights(env, signal));
  useEffect(() => {
    if (rights.data) learn(env, rights.data);
  }, [env, rights.data]);
  const [beat, setBeat] = useState(0);
  const reload = useMemo(() => {
    const now = () => {
      detail.reload();
      tree.reload();
      setBeat((last) => last + 1);
    };
    return throttle(now, 150);
  }, [detail.reload, tree.reload]);
  useLive((message) => {
    // They were not to be had while the server was away, and may be others now.
    if (message.type === "back") rights.reload();
    if (concerns(message, env)) reload();
  });
  // Pods that come and go while all stays as it is are no news: whoever looks at them asks now and then.
  const time = slowNow.value;
  useEffect(() => {
    if (tree.data && (tab === "tree" || tab === "logs")) tree.reload();
  }, [time]);
  const base = `/environments/${namespace}/${name}`;
  // Only a copy is made to deviate; on others an override that is there is shown.
  const deviates = tab === "overrides" || detail.data?.copy !== undefined || (detail.data?.overrides?.length ?? 0) > 0;
  const props: ViewProps = { env, detail: detail.data, tree, reload, beat };
  let view: ComponentChildren;
  if (tab === "tree") view = <TreeView {...props} />;
  else if (tab === "timeline") view = <TimelineView {...props} />;
  else if (tab === "history") view = <HistoryView {...props} />;
  else if (tab === "traffic") view = <TrafficPage {...props} />;
  else if (tab === "plan") view = <PlanView {...props} />;
  else if (tab === "overrides") view = <OverridesView {...props} />;
  else if (tab === "fidelity") view = <FidelityView {...props} />;
  else if (tab === "logs") view = <LogsView {...props} />;
  else view = <p>There is no such view. <a href={base}>The tree</a></p>;
  const crumbs = <p class="crumbs"><a href="/">Environments</a> / {namespace}</p>;
  if (detail.problem?.status === 404 && !detail.data) {
    return <>{crumbs}<h1>Nothing is here</h1><p role="alert">There is no environment {name} in {namespace}, or you may not see it. <a href="/">All environments</a></p></>;
  }
  return (
    <>
      {crumbs}
      {detail.problem && <ProblemBox problem={detail.problem} retry={detail.reload} />}
      {detail.data && <Head {...props} detail={detail.data} links={tree.data?.links.map((link) => link.url) ?? []} />}
      <nav class="tabs" aria-label="Views">
        {Object.entries(TABS).filter(([id]) => deviates || id !== "overrides").map(([id, title]) => (
          <a key={id} href={id === "tree" ? base : `${base}/${id}`} aria-current={tab === id ? "page" : undefined}>{title}</a>
        ))}
      </nav>
      <div id="view" role="region" aria-label={Object.hasOwn(TABS, tab) ? TABS[tab as keyof typeof TABS] : "View"} tabIndex={-1}>{view}</div>
    </>
  );
}

function Head({ detail, links, env, reload }: Omit<ViewProps, "detail"> & { detail: EnvironmentDetail; links: string[] }) {
  const [busy, setBusy] = useState(false);
  const [asked, setAsked] = useState<"copy" | "back" | "delete">();
  const close = () => setAsked(undefined);
  async function act(what: string, done: string, call: () => Promise<unknown>): Promise<void> {
    setBusy(true);
    try {
      await call();
      say(done);
    } catch (error) {
      complain(what, asProblem(error));
    }
    setBusy(false);
    reload();
  }
  return (
    <>
      <div class="head">
        <h1>{detail.name} <span class={`tag class-${detail.class}`}>{detail.class}</span></h1>
        <span class="states" aria-live="polite"><HealthMark health={detail.health} /> <SyncMark sync={detail.sync} /></span>
        <div class="actions">
          {links.map((url) => <a key={url} class="button" href={url} target="_blank" rel="noreferrer noopener">Open {new URL(url).host}</a>)}
          {session.value?.may.copies && !detail.copyOf && <button type="button" onClick={() => setAsked("copy")}>Make a copy</button>}
          {may("sync", detail) && <button type="button" class="primary" disabled={busy}
            onClick={() => void act("Sync", `${env.name} was synced`, () => calls.sync(env))}>Sync now</button>}
          {may("rollback", detail) && <button type="button" onClick={() => setAsked("back")} disabled={busy}>Roll back…</button>}
          {may("update", detail) && (detail.suspended
            ? <button type="button" disabled={busy} onClick={() => void act("Resume", `${env.name} goes on`, () => calls.resume(env))}>Resume</button>
            : <button type="button" disabled={busy} onClick={() => void act("Suspend", `${env.name} is suspended`, () => calls.suspend(env))}>Suspend</button>)}
          {may("delete", detail) && <button type="button" onClick={() => setAsked("delete")} disabled={busy}>Delete…</button>}
        </div>
      </div>
      <p class="facts">
        Stack <strong>{detail.stack}</strong> · release <span class="mono">{detail.release ? short(detail.release) : "none yet"}</span>
        {detail.revision && <> · <span class="mono">{detail.revision}</span></>}
        {detail.deployed && <> · <DeployedBy deployed={detail.deployed} /></>}
        {detail.lastSync && detail.lastSync.finished !== detail.deployed?.time && <> · last sync <Time at={detail.lastSync.started} /> by {detail.lastSync.actor}</>}
      </p>
      <Links links={detail.links ?? []} />
      {detail.message && !saidByHold(detail) && !saidByDrift(detail) && <p class={`strip ${detail.health === "Degraded" ? "bad" : "info"}`}>{detail.message}</p>}
      <CopyStrip env={env} detail={detail} links={links} done={reload} />
      <Holds detail={detail} />
      <Drift detail={detail} />
      {asked === "copy" && <MakeCopy detail={detail} close={close} />}
      {asked === "back" && <RollbackDialog env={env} close={close} done={reload} />}
      {asked === "delete" && <DeleteDialog detail={detail} close={close} />}
    </>
  );
}

/** The message of a held release is that of the strip below, which can do something about it. */
function saidByHold(detail: EnvironmentDetail): boolean {
  return detail.holds.some((hold) => detail.message.startsWith(`release ${hold.release} `) && detail.message.includes(" is held by "));
}

/** Which fields were changed in the cluster, and not in Git. */
function driftOf(detail: EnvironmentDetail) {
  return detail.plan.objects.flatMap((object) =>
    (object.fields ?? []).filter((field) => field.drift).map((field) => ({ object: object.object, field })));
}

/** And so is that of drift. */
function saidByDrift(detail: EnvironmentDetail): boolean {
  return driftOf(detail).some(({ object, field }) => detail.message.startsWith(`${fullLabel(object)} ${field.path} was changed`));
}

/** Pages elsewhere, as the stack names them. */
function Links({ links }: { links: LinkView[] }) {
  // What is no address for a browser cannot be in a stack; a page must not fall over it all the same.
  const good = links.filter((link) => /^https?:\/\//.test(link.url) && URL.canParse(link.url));
  if (good.length === 0) return null;
  return (
    <ul class="links" aria-label="Links">
      {good.map((link) => (
        <li key={link.name + (link.component ?? "")}>
          <a href={link.url} target="_blank" rel="noreferrer noopener">{link.name}{link.component && ` of ${link.component}`} <span aria-hidden="true">↗</span></a>
        </li>
      ))}
    </ul>
  );
}

function Holds({ detail }: { detail: EnvironmentDetail }) {
  return (
    <>
      {detail.holds.map((hold) => (
        <p key={hold.release} class="strip warn">
          Release <span class="mono">{short(hold.release)}</span> is held by {hold.actor} <Time at={hold.time} />
          {hold.reason ? `: ${hold.reason}` : ""}. It is not deployed again until the hold is lifted (see History).
        </p>
      ))}
    </>
  );
}

/** Who changed what in the cluster, before anything else. */
function Drift({ detail }: { detail: EnvironmentDetail }) {
  const drifted = driftOf(detail);
  if (drifted.length === 0) return null;
  return (
    <section class="strip warn" aria-label="Drift">
      <strong>{count(drifted.length, "field")} changed in the cluster, and not in Git</strong>
      <ul>
        {drifted.slice(0, 10).map(({ object, field }) => (
          <li key={fullLabel(object) + field.path}>
            {fullLabel(object)} <code>{field.path}</code>: <code>{value(field.to) || "–"}</code> in Git, now{" "}
            <code>{value(field.from) || "–"}</code>
            {field.owner && <> – set by <strong>{field.owner.manager}</strong> <Time at={field.owner.time} /></>}
          </li>
        ))}
      </ul>
    </section>
  );
}
