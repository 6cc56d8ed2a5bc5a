/** What was deployed, by whom, with what in it; and the way back. */
import { useEffect, useState } from "preact/hooks";
import * as calls from "../../api/calls";
import type { EnvironmentKey, SyncRecord } from "../../api/contract";
import { count, short, trigger } from "../../format/names";
import { duration } from "../../format/time";
import { complain, say } from "../../state/notices";
import { asProblem, useResource } from "../../state/resource";
import { may } from "../../state/rights";
import { Dialog } from "../../ui/dialog";
import { ProblemBox } from "../../ui/problem";
import { OutcomeMark } from "../../ui/status";
import { Time } from "../../ui/time";
import type { ViewProps } from "./index";

export function HistoryView({ env, detail, beat, reload }: ViewProps) {
  const [limit, setLimit] = useState(50);
  const history = useResource(`history ${env.namespace}/${env.name} ${limit}`, (signal) => calls.history(env, { limit }, signal));
  const [back, setBack] = useState<SyncRecord>();
  const [hold, setHold] = useState<SyncRecord>();
  useEffect(() => {
    if (beat > 0) history.reload();
  }, [beat]);
  async function act(what: string, done: string, call: () => Promise<unknown>): Promise<void> {
    try {
      await call();
      say(done);
    } catch (error) {
      complain(what, asProblem(error));
    }
    reload();
  }
  // A release may have been synced more than once: the latest time is why it runs.
  const runs = history.data?.items.filter((sync) => sync.release === detail?.release);
  const present = (runs?.find((sync) => sync.outcome === "succeeded") ?? runs?.[0])?.id;
  const held = new Set(detail?.holds.map((hold) => hold.release));
  const base = `/environments/${env.namespace}/${env.name}`;
  return (
    <>
      {history.problem && <ProblemBox problem={history.problem} retry={history.reload} />}
      {history.data?.items.length === 0 && <p>Nothing was deployed yet.</p>}
      <ol class="history">
        {history.data?.items.map((sync) => (
          <li key={sync.id}>
            <div class="head">
              <OutcomeMark outcome={sync.outcome} />
              <a href={`${base}/timeline?sync=${sync.id}`}>Sync {sync.id}</a>
              <span class="mono">{short(sync.release)}</span> <span class="mono quiet">{sync.revision}</span>
              {sync.id === present && <span class="tag good">runs now</span>}
              {held.has(sync.release) && <span class="tag warn">held</span>}
              <span class="grow" />
              {may("rollback", detail) && sync.outcome === "succeeded" && sync.release !== detail?.release && (
                <button type="button" onClick={() => setBack(sync)}>Roll back to this</button>
              )}
              {may("hold", detail) && (held.has(sync.release)
                ? <button type="button" onClick={() => void act("Lift", "The hold is lifted", () => calls.lift(env, sync.release))}>Lift hold</button>
                : sync.release !== detail?.release && <button type="button" onClick={() => setHold(sync)}>Hold…</button>)}
            </div>
            <p class="quiet">
              {trigger(sync.trigger)} by {sync.actor} · <Time at={sync.started} />
              {sync.finished && <> · took {duration(Date.parse(sync.finished) - Date.parse(sync.started))}</>}
              {(sync.objects?.length ?? 0) > 0 && <> · {count(sync.objects?.length ?? 0, "object")}</>}
            </p>
            {sync.message && <p class="bad">{sync.message}</p>}
            <ul class="commits">
              {sync.commits?.slice(0, 10).map((commit) => (
                <li key={commit.component + commit.commit}>
                  <span class="mono">{commit.commit.slice(0, 8)}</span> {commit.subject} <span class="quiet">– {commit.author} · {commit.component}</span>
                </li>
              ))}
            </ul>
          </li>
        ))}
      </ol>
      {history.data?.continue != null && <p><button type="button" onClick={() => setLimit(limit + 100)}>Show more</button></p>}
      {back && <RollbackDialog env={env} to={back} close={() => setBack(undefined)} done={reload} />}
      {hold && <HoldDialog env={env} release={hold} close={() => setHold(undefined)} done={reload} />}
    </>
  );
}

function HoldDialog({ env, release: { release, revision }, close, done }: { env: EnvironmentKey; release: SyncRecord; close(): void; done(): void }) {
  const [reason, setReason] = useState("");
  return (
    <Dialog title={`Hold ${short(release)}`} confirm="Hold" close={close} act={async () => {
      await calls.hold(env, release, reason.trim() || undefined);
      say("The release is held");
      done();
    }}>
      <p>Release <span class="mono">{short(release)}</span> ({revision}) is not deployed to {env.name} again until somebody lifts the hold. Newer releases are.</p>
      <label>Reason (optional)<input value={reason} onInput={(event) => setReason(event.currentTarget.value)} /></label>
    </Dialog>
  );
}

export function RollbackDialog({ env, to, close, done }: { env: EnvironmentKey; to?: SyncRecord; close(): void; done(): void }) {
  const [reason, setReason] = useState("");
  return (
    <Dialog title={`Roll back ${env.name}`} confirm="Roll back" close={close} act={async () => {
      await calls.rollback(env, to?.release, reason.trim() || undefined);
      say(`${env.name} goes back`);
      done();
    }}>
      <p>{to ? <>Release <span class="mono">{short(to.release)}</span> ({to.revision}) takes the place of the present one.</>
        : "The last good release takes the place of the present one."}{" "}
        The present release is held: it is not deployed again until somebody lifts the hold. Newer releases are.</p>
      <label>Reason (optional)<input value={reason} onInput={(event) => setReason(event.currentTarget.value)} /></label>
    </Dialog>
  );
}
