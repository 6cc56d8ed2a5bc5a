/** A time that people read at a glance, with the exact one for whoever needs it. */
import type { Deployed } from "../api/contract";
import { until } from "../format/lifetime";
import { exact, relative } from "../format/time";
import { slowNow } from "../state/clock";

export function Time({ at }: { at: string | null | undefined }) {
  if (!at) return null;
  const time = Date.parse(at);
  return <time dateTime={at} title={exact(time)}>{relative(time, Math.max(slowNow.value, time))}</time>;
}

/** Who brought what runs, and when: whoever asked, or whose commit came by itself. */
export function DeployedBy({ deployed }: { deployed: Deployed }) {
  const byItself = deployed.actor === "seaway";
  return (
    <span title={deployed.subject || undefined}>
      deployed <Time at={deployed.time} /> by {byItself && deployed.author ? <>{deployed.author} <span class="quiet">(Git)</span></> : deployed.actor}
    </span>
  );
}

/** A time that is still to come. */
export function Until({ at }: { at: string }) {
  const time = Date.parse(at);
  return <time dateTime={at} title={exact(time)}>{until(time, slowNow.value)}</time>;
}
