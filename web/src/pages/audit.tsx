/** Who did what, to what, from where, and how it ended. */
import { useEffect, useState } from "preact/hooks";
import * as calls from "../api/calls";
import type { LedgerEvent } from "../api/contract";
import { url } from "../api/client";
import { location, navigate, withQuery } from "../router";
import { useResource } from "../state/resource";
import { breakableName } from "../ui/breakable";
import { ProblemBox } from "../ui/problem";
import { Time } from "../ui/time";

const FIELDS = {
  actor: "Who",
  action: "What, such as environment.* or session.login",
  object: "To what, such as Environment/seaway/*",
  address: "From where",
} as const;
const OUTCOMES = ["requested", "succeeded", "failed", "denied"];
const TONES: Record<string, string> = { succeeded: "good", failed: "bad", denied: "bad" };
const PAGE = 100;

export function Audit() {
  const { query } = location.value;
  const filter: calls.AuditQuery = {
    actor: query.get("actor") ?? undefined,
    action: query.get("action") ?? undefined,
    object: query.get("object") ?? undefined,
    address: query.get("address") ?? undefined,
    outcome: query.get("outcome") ?? undefined,
  };
  const key = Object.values(filter).join("\n");
  const [pages, setPages] = useState(1);
  useEffect(() => setPages(1), [key]);
  const list = useResource(`audit ${pages} ${key}`, async (signal) => {
    const items: LedgerEvent[] = [];
    let next: number | undefined;
    for (let page = 0; page < pages; page++) {
      const answer = await calls.audit({ ...filter, limit: PAGE, continue: next }, signal);
      items.push(...answer.items);
      next = answer.continue ?? undefined;
      if (next === undefined) break;
    }
    return { items, more: next !== undefined };
  });
  return (
    <>
      <div class="head">
        <h1>Audit</h1>
        <span class="grow" />
        <a class="button" download="seaway-audit.jsonl" href={url("/audit/export", filter)}>Export as JSON lines</a>
      </div>
      <div class="inline">
        {(Object.keys(FIELDS) as (keyof typeof FIELDS)[]).map((field) => (
          <Field key={field} field={field} hint={FIELDS[field]} value={filter[field] ?? ""} />
        ))}
        <label>Outcome <select value={filter.outcome ?? ""}
          onChange={(event) => navigate(withQuery({ outcome: event.currentTarget.value }), { replace: true })}>
          <option value="">any</option>
          {OUTCOMES.map((one) => <option key={one} value={one}>{one}</option>)}
        </select></label>
      </div>
      {list.problem && <ProblemBox problem={list.problem} retry={list.reload} />}
      {list.data?.items.length === 0 && <p>Nothing of that was done.</p>}
      {(list.data?.items.length ?? 0) > 0 && (
        <div class="scroll">
          <table class="rows audit">
            <caption class="sr">What was done</caption>
            <thead><tr><th scope="col">When</th><th scope="col">Who</th><th scope="col">What</th><th scope="col">To what</th>
              <th scope="col">Outcome</th><th scope="col">Details</th></tr></thead>
            <tbody>{list.data?.items.map((event) => <Row key={event.id} event={event} />)}</tbody>
          </table>
        </div>
      )}
      {list.data?.more && <p><button type="button" onClick={() => setPages(pages + 1)}>Show more</button></p>}
    </>
  );
}

function Field({ field, hint, value }: { field: keyof typeof FIELDS; hint: string; value: string }) {
  const [text, setText] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => navigate(withQuery({ [field]: text || undefined }), { replace: true }), 250);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <label><span class="sr">{hint}</span>
      <input type="search" placeholder={hint} title={hint} value={text} onInput={(event) => setText(event.currentTarget.value)} /></label>
  );
}

function Row({ event }: { event: LedgerEvent }) {
  const { address, ...rest } = (event.detail ?? {}) as Record<string, unknown>;
  const [open, setOpen] = useState(false);
  const more = Object.keys(rest).length > 0 || event.release;
  return (
    <>
      <tr>
        <td><Time at={event.time} /></td>
        <th scope="row">{event.actor}{typeof address === "string" && <div class="quiet">{address}</div>}</th>
        <td>{breakableName(event.action)}</td>
        <td>{breakableName(event.object)}</td>
        <td><span class={`mark ${TONES[event.outcome] ?? ""}`}>{event.outcome}</span></td>
        <td>{more && <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>{open ? "Hide" : "Show"}</button>}</td>
      </tr>
      {open && (
        <tr>
          <td colSpan={6}><pre>{JSON.stringify(event.release ? { release: event.release, ...rest } : rest, null, 2)}</pre></td>
        </tr>
      )}
    </>
  );
}
