/** A sync, step by step, while it happens and afterwards. */
import { useEffect, useState } from "preact/hooks";
import * as calls from "../../api/calls";
import type { Step, Timeline } from "../../api/contract";
import { short, trigger } from "../../format/names";
import { duration } from "../../format/time";
import { location } from "../../router";
import { fastNow, useFastClock } from "../../state/clock";
import { complain, say } from "../../state/notices";
import { asProblem, useResource } from "../../state/resource";
import { may } from "../../state/rights";
import { ProblemBox } from "../../ui/problem";
import { OutcomeMark, StepMark } from "../../ui/status";
import { Time } from "../../ui/time";
import type { ViewProps } from "./index";
import { ordered } from "./order";

export function TimelineView({ env, detail, beat, reload }: ViewProps) {
  const asked = Number(location.value.query.get("sync")) || undefined;
  const timeline = useResource(`timeline ${env.namespace}/${env.name} ${asked ?? ""}`, (signal) => calls.timeline(env, asked, signal));
  const running = timeline.data?.outcome === "running";
  useEffect(() => {
    if (beat > 0) timeline.reload();
  }, [beat]);
  useEffect(() => {
    // Pods say nothing of themselves through the stream of events.
    if (!running) return;
    const timer = setInterval(timeline.reload, 1000);
    return () => clearInterval(timer);
  }, [running, timeline.reload]);
  useFastClock(running);
  async function cancel(sync: number): Promise<void> {
    try {
      await calls.cancel(env, sync);
      say(`Sync ${sync} is cancelled: it stops before its next step`);
    } catch (error) {
      complain("Cancel", asProblem(error));
    }
    timeline.reload();
    reload();
  }
  if (timeline.problem?.status === 404 && !timeline.data) return <p>{timeline.problem.message}. It begins as soon as there is something to deploy.</p>;
  return (
    <>
      {timeline.problem && <ProblemBox problem={timeline.problem} retry={timeline.reload} />}
      {timeline.data && <Steps timeline={timeline.data} stop={may("sync", detail) && running ? cancel : undefined} />}
    </>
  );
}

function Steps({ timeline, stop }: { timeline: Timeline; stop?: (sync: number) => Promise<void> }) {
  const [stopping, setStopping] = useState(0);
  const running = timeline.outcome === "running";
  const now = running ? fastNow.value : 0;
  const starts = timeline.steps.flatMap((step) => (step.started ? [Date.parse(step.started)] : []));
  const begin = Math.min(Date.parse(timeline.started), ...starts);
  const end = timeline.finished ? Date.parse(timeline.finished) : Math.max(now, begin);
  const total = Math.max(end - begin, timeline.expectedMilliseconds ?? 0, 1);
  return (
    <>
      <div class="head" role="status">
        <OutcomeMark outcome={timeline.outcome} />
        <h2>Sync {timeline.sync}</h2>
        <span class="mono">{short(timeline.release)}</span> <span class="mono quiet">{timeline.revision}</span>
        {stop && <button type="button" disabled={stopping === timeline.sync} onClick={() => {
          setStopping(timeline.sync);
          void stop(timeline.sync).finally(() => setStopping(0));
        }}>Cancel this sync</button>}
      </div>
      <p class="quiet">
        {trigger(timeline.trigger)} by {timeline.actor} · <Time at={timeline.started} /> · {duration(end - begin)}
        {running && timeline.expectedMilliseconds != null && <> · usually {duration(timeline.expectedMilliseconds)}</>}
      </p>
      {timeline.message && <p class={`strip ${timeline.outcome === "cancelled" ? "warn" : "bad"}`}>{timeline.message}</p>}
      <ol class="steps" aria-label="Steps">
        {ordered(timeline.steps).map(({ step, level }) => (
          <StepRow key={step.id} step={step} level={level} begin={begin} total={total} now={end} />
        ))}
      </ol>
    </>
  );
}

function StepRow({ step, level, begin, total, now }: { step: Step; level: number; begin: number; total: number; now: number }) {
  const from = step.started ? Date.parse(step.started) : undefined;
  const to = step.finished ? Date.parse(step.finished) : step.state === "running" ? now : from;
  const took = from !== undefined && to !== undefined ? Math.max(0, to - from) : undefined;
  const percent = (value: number) => `${Math.min(100, Math.max(0, (value / total) * 100)).toFixed(2)}%`;
  return (
    <li class={`step ${step.state}`}>
      <span class="title" style={{ paddingLeft: `${level * 1.25 + 1.6}rem`, textIndent: "-1.6rem" }}>
        <StepMark state={step.state} /> {step.title}{step.message && <span class="why"> {step.message}</span>}</span>
      <span class="track" aria-hidden="true">
        {from !== undefined && took !== undefined && (
          <span class="fill" style={{ marginLeft: percent(from - begin), width: `max(3px, ${percent(took)})` }} />
        )}
      </span>
      <span class="took">{took === undefined || step.state === "waiting" ? "–" : duration(took)}
        {step.state === "running" && step.expectedMilliseconds != null && <span class="quiet"> of ~{duration(step.expectedMilliseconds)}</span>}</span>
    </li>
  );
}
