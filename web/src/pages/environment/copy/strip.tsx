/** Of what an environment is a copy, what is called how in it, and how long it is kept. */
import { useState } from "preact/hooks";
import * as calls from "../../../api/calls";
import type { EnvironmentDetail, EnvironmentKey } from "../../../api/contract";
import { ending, extendedFrom, SOON, USUAL } from "../../../format/lifetime";
import { count } from "../../../format/names";
import { exact } from "../../../format/time";
import { slowNow } from "../../../state/clock";
import { say } from "../../../state/notices";
import { may } from "../../../state/rights";
import { Dialog } from "../../../ui/dialog";
import { LifetimeChoice } from "../../../ui/lifetime";
import { NamesMap } from "../../../ui/names-map";
import { Until } from "../../../ui/time";
import { LeftOut } from "./make";

const FOLLOWS = {
  environment: "what runs there",
  revision: "the revisions that the stack names, which may be ahead of that",
};

interface Props {
  env: EnvironmentKey;
  detail: EnvironmentDetail;
  links: string[];
  done(): void;
}

export function CopyStrip({ env, detail, links, done }: Props) {
  const [keeping, setKeeping] = useState(false);
  const { copy, expires } = detail;
  if (!copy && !detail.copyOf && !expires) return null;
  const of = copy?.of ?? detail.copyOf;
  const soon = expires !== undefined && Date.parse(expires) - slowNow.value < SOON;
  const url = (host: string) => links.find((link) => new URL(link).hostname === host);
  const base = `/environments/${env.namespace}/${env.name}`;
  const overrides = detail.overrides?.filter((one) => one.active) ?? [];
  return (
    <section class={`strip ${soon ? "warn" : "info"}`} aria-label="Copy">
      <p>
        {of && <>A copy of <a href={`/environments/${of}`}>{of}</a></>}
        {detail.owner && <>{of ? ", owned by" : "Owned by"} <strong>{detail.owner}</strong></>}
        {copy && <>. It follows {FOLLOWS[copy.follow]}</>}
        {overrides.length > 0 && <>, with <a href={`${base}/overrides`}>{count(overrides.length, "override")}</a> ({overrides.map((one) => one.component).join(", ")})</>}.
      </p>
      <p>
        {expires ? <><strong>It is deleted <Until at={expires} /></strong>{soon && ", with all that is in it"}. </> : "It is kept until somebody deletes it. "}
        {may("update", detail) && <button type="button" onClick={() => setKeeping(true)}>{expires ? "Keep longer…" : "Set an end…"}</button>}
      </p>
      {copy && (
        <details>
          <summary>Namespaces and hosts</summary>
          <NamesMap title="Namespace" names={copy.namespaces} />
          <NamesMap title="Host" names={copy.hosts} links={url} />
          <LeftOut copy={copy} />
        </details>
      )}
      {keeping && <KeepDialog env={env} expires={expires} close={() => setKeeping(false)} done={done} />}
    </section>
  );
}

function KeepDialog({ env, expires, close, done }: { env: EnvironmentKey; expires: string | undefined; close(): void; done(): void }) {
  const [days, setDays] = useState(USUAL);
  const from = extendedFrom(expires, slowNow.value);
  const end = ending(days, from);
  return (
    <Dialog title={`How long to keep ${env.name}`} confirm="Keep it" close={close} act={async () => {
      await calls.extend(env, end);
      say(end ? `${env.name} is kept until ${exact(Date.parse(end))}` : `${env.name} is kept for ever`);
      done();
    }}>
      <LifetimeChoice label={expires ? "How much longer" : "How long"} days={days} never="until somebody deletes it" choose={setDays} />
      <p role="status">{end ? `It is deleted at ${exact(Date.parse(end))}.` : "It is kept until somebody deletes it."}</p>
    </Dialog>
  );
}
