/** Operations' overview of copies: who has which, what they ask for, and for how long. */
import { useMemo } from "preact/hooks";
import * as calls from "../api/calls";
import type { CopyUsage } from "../api/contract";
import { SOON } from "../format/lifetime";
import { count } from "../format/names";
import { byOwner, bytes, cores, hours, type Sum } from "../format/usage";
import { useLive } from "../live/events";
import { throttle } from "../live/throttle";
import { slowNow } from "../state/clock";
import { useResource } from "../state/resource";
import { ProblemBox } from "../ui/problem";
import { Time, Until } from "../ui/time";

/** Copies of class preview and staging belong to no person. */
const TEAM = "everybody";

export function Copies() {
  const list = useResource("usage", calls.usage);
  const refresh = useMemo(() => throttle(list.reload, 2000), [list.reload]);
  useLive(() => refresh());
  const copies = list.data?.items;
  const people = useMemo(() => byOwner(copies ?? [], TEAM), [copies]);
  return (
    <>
      <div class="head"><h1>Copies</h1>{copies && copies.length > 0 && <span class="quiet">{copies.length}</span>}</div>
      <p class="quiet">What pods ask for now (requests); hours are that for as long as the copy has been there.</p>
      {list.problem && <ProblemBox problem={list.problem} retry={list.reload} />}
      {copies?.length === 0 && <p>There is no copy. <code>seaway env create NAME --copy-of ENVIRONMENT</code>, or <em>Make a copy</em> on
        an environment's page, makes one.</p>}
      {copies && copies.length > 0 && <People people={people} />}
      {copies && copies.length > 0 && <All copies={copies} />}
    </>
  );
}

const AMOUNTS = <><th scope="col" class="number">Pods</th><th scope="col" class="number">CPU</th><th scope="col" class="number">Memory</th>
  <th scope="col" class="number">CPU hours</th><th scope="col" class="number">GiB hours</th></>;

function Amounts({ of }: { of: Sum | CopyUsage }) {
  return (
    <>
      <td class="number">{of.pods}</td>
      <td class="number">{cores(of.milliCpu)}</td>
      <td class="number">{bytes(of.memory)}</td>
      <td class="number">{hours(of.cpuHours)}</td>
      <td class="number">{hours(of.memoryHours)}</td>
    </>
  );
}

function People({ people }: { people: Sum[] }) {
  return (
    <div class="scroll">
      <table class="rows">
        <caption class="sr">By person</caption>
        <thead><tr><th scope="col">Person</th><th scope="col">Copies</th>{AMOUNTS}</tr></thead>
        <tbody>
          {people.map((sum) => (
            <tr key={sum.who}><th scope="row">{sum.who}</th><td>{count(sum.copies, "copy", "copies")}</td><Amounts of={sum} /></tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function All({ copies }: { copies: CopyUsage[] }) {
  return (
    <div class="scroll">
      <table class="rows">
        <caption class="sr">Copies</caption>
        <thead><tr><th scope="col">Copy</th><th scope="col">Of</th>{AMOUNTS}<th scope="col">Made</th><th scope="col">Ends</th></tr></thead>
        <tbody>
          {copies.map((one) => (
            <tr key={`${one.environment.namespace}/${one.environment.name}`}>
              <th scope="row"><a href={`/environments/${one.environment.namespace}/${one.environment.name}`}>{one.environment.name}</a>{" "}
                <span class={`tag class-${one.class}`}>{one.class}</span>
                <div class="quiet">{one.owner ?? TEAM}</div></th>
              <td>{one.of}</td>
              <Amounts of={one} />
              <td><Time at={one.created} /></td>
              <td>{one.expires
                ? <span class={Date.parse(one.expires) - slowNow.value < SOON ? "why" : ""}><Until at={one.expires} /></span>
                : "never"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
