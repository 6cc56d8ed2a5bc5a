/** One object in detail: what differs, as Git says and as it is, who set what, events, logs. */
import { useEffect, useRef } from "preact/hooks";
import * as calls from "../../api/calls";
import type { EnvironmentKey, ObjectRef, TreeNode } from "../../api/contract";
import { fullLabel, objectKey } from "../../format/names";
import { useResource } from "../../state/resource";
import { ProblemBox } from "../../ui/problem";
import { HealthMark } from "../../ui/status";
import { Time } from "../../ui/time";
import { Changes } from "./changes";
import { LogStream } from "./logs";
import { podsOf } from "./rows";

interface Props {
  env: EnvironmentKey;
  object: ObjectRef;
  node: TreeNode | undefined;
  beat: number;
  /** Whether it was opened by key: whoever did goes on in it. */
  byKey: boolean;
  close(): void;
}

export function ObjectPanel({ env, object, node, beat, byKey, close }: Props) {
  const detail = useResource(`object ${env.namespace}/${env.name} ${objectKey(object)}`, (signal) => calls.object(env, object, signal));
  useEffect(() => {
    if (beat > 0) detail.reload();
  }, [beat]);
  const section = useRef<HTMLElement>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    section.current?.scrollIntoView({ block: "nearest" });
    if (byKey) heading.current?.focus({ preventScroll: true });
  }, [objectKey(object)]);
  const shown = detail.data;
  const pods = node ? podsOf(node).map((pod) => pod.object.name) : [];
  return (
    <section class="panel" ref={section} aria-label={`${object.kind} ${object.name}`}
      onKeyDown={(event) => { if (event.key === "Escape" && !(event.target instanceof HTMLInputElement)) close(); }}>
      <div class="head">
        <h2 ref={heading} tabIndex={-1}>{object.kind} {object.name}</h2>
        <span class="grow" />
        <button type="button" onClick={close} aria-label="Close details">×</button>
      </div>
      {detail.problem && <ProblemBox problem={detail.problem} retry={detail.reload} />}
      {shown && (
        <>
          <p><HealthMark health={shown.health} /> {shown.message}</p>
          <p class="quiet">
            {fullLabel(object)}
            {shown.component && <> · component {shown.component}</>}
            {shown.origin && <> · {shown.origin.file}:{shown.origin.line}</>}
            {!shown.managed && <> · made by another object</>}
          </p>
          {shown.fields.length > 0 && <><h3>Differences</h3><Changes fields={shown.fields} /></>}
          {shown.events.length > 0 && (
            <details open>
              <summary>Events</summary>
              <ul class="events">
                {shown.events.map((event, index) => (
                  <li key={index} class={event.type === "Warning" ? "warn" : ""}>
                    <Time at={event.time} /> <strong>{event.reason}</strong> {event.message}
                    {event.count > 1 && <span class="quiet"> (×{event.count})</span>}
                  </li>
                ))}
              </ul>
            </details>
          )}
          {pods.length > 0 && object.namespace && (
            <details open><summary>Logs</summary><LogStream env={env} namespace={object.namespace} pods={pods} /></details>
          )}
          {shown.desired && <details><summary>As Git says</summary><pre tabIndex={0} role="region" aria-label="Manifest as Git says">{shown.desired}</pre></details>}
          {shown.live && <details><summary>As it is</summary><pre tabIndex={0} role="region" aria-label="Manifest as it is">{shown.live}</pre></details>}
          {shown.owners.length > 0 && (
            <details>
              <summary>Who set what</summary>
              {shown.owners.map((owner, index) => (
                <div key={index}>
                  <p><strong>{owner.manager}</strong> <span class="quiet">{owner.operation}</span> <Time at={owner.time} /></p>
                  <ul class="paths">{owner.fields.map((field) => <li key={field}><code>{field}</code></li>)}</ul>
                </div>
              ))}
            </details>
          )}
        </>
      )}
    </section>
  );
}
