/** Requests, errors and latency of an environment, with what was deployed meanwhile. */
import { useEffect, useState } from "preact/hooks";
import * as calls from "../../api/calls";
import type { Deploy, Traffic, TrafficPoint } from "../../api/contract";
import { count, short, trigger } from "../../format/names";
import { clockSecond } from "../../format/time";
import { useResource } from "../../state/resource";
import { ProblemBox } from "../../ui/problem";
import { OutcomeMark } from "../../ui/status";
import { Time } from "../../ui/time";
import { HEIGHT, WIDTH, across, area, ceiling, errorShare, line, middle, milliseconds, perSecond, percent, rate, summary, type Value } from "./chart";
import type { ViewProps } from "./index";

const SPANS: [number, string][] = [[15, "15 minutes"], [60, "hour"], [360, "6 hours"], [720, "12 hours"]];
/** The gateway is asked so often by the server. */
const REFRESH = 10_000;

export function TrafficPage({ env, detail, beat }: ViewProps) {
  const [minutes, setMinutes] = useState(15);
  const traffic = useResource(`traffic ${env.namespace}/${env.name} ${minutes}`, (signal) => calls.traffic(env, minutes, signal));
  useEffect(() => {
    if (beat > 0) traffic.reload();
  }, [beat]);
  useEffect(() => {
    const refresh = () => !document.hidden && traffic.reload();
    const timer = setInterval(refresh, REFRESH);
    document.addEventListener("visibilitychange", refresh);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", refresh);
    };
  }, [traffic.reload]);
  const data = traffic.data;
  return (
    <>
      {traffic.problem && <ProblemBox problem={traffic.problem} retry={traffic.reload} />}
      {data && !data.measured && (
        <div class="note">
          <p>Requests are not measured here: they go through the cluster’s own gateway, and Seaway measures its own alone, that of <code>seaway up</code>.</p>
          <p class="quiet">{detail?.links?.length ? "The links above lead to what measures them." : "Links of the stack (spec.links) can lead to what measures them, such as Grafana."}</p>
        </div>
      )}
      {data?.measured && (
        <>
          <p class="inline">
            <label>The last{" "}
              <select value={minutes} onChange={(event) => setMinutes(Number(event.currentTarget.value))}>
                {SPANS.map(([value, name]) => <option key={value} value={value}>{name}</option>)}
              </select></label>
            <span class="quiet">{data.routes.length === 0 ? "No route leads here yet." : `through ${count(data.routes.length, "route")}`}</span>
          </p>
          <Charts traffic={data} />
        </>
      )}
      {data && <Deploys deploys={data.deploys} base={`/environments/${env.namespace}/${env.name}`} />}
    </>
  );
}

interface Series {
  name: string;
  tone: string;
  value(point: TrafficPoint): Value;
}

const RATE: Series[] = [{ name: "requests", tone: "tone-accent", value: rate }];
const ERRORS: Series[] = [{ name: "failed", tone: "tone-bad", value: errorShare }];
const LATENCY: Series[] = [
  { name: "half", tone: "tone-accent", value: (point) => point.p50 ?? undefined },
  { name: "95 %", tone: "tone-busy", value: (point) => point.p95 ?? undefined },
  { name: "99 %", tone: "tone-warn", value: (point) => point.p99 ?? undefined },
];

function Charts({ traffic }: { traffic: Traffic }) {
  const last = traffic.points.length - 1;
  // Absent: the newest point, also when there is a newer one.
  const [chosen, setChosen] = useState<string>();
  const found = chosen === undefined ? -1 : traffic.points.findIndex((point) => point.time === chosen);
  const index = found < 0 ? last : found;
  const point = traffic.points[index];
  const choose = (to: number) => setChosen(to >= last ? undefined : traffic.points[to]?.time);
  const { requests, errors, highest } = summary(traffic.points);
  const said = `${count(requests, "request")}, ${percent(requests > 0 ? (errors / requests) * 100 : 0)} failed`;
  const rates = traffic.points.map(rate);
  const slowest = Math.max(0, ...traffic.points.flatMap((one) => [one.p50 ?? 0, one.p95 ?? 0, one.p99 ?? 0]));
  const failed = Math.max(0, ...traffic.points.map((one) => errorShare(one) ?? 0));
  const shared = { traffic, point, choose };
  const moment = point && `${clockSecond(point.time)}: ${perSecond(rate(point))}, ${percent(errorShare(point))} failed, half within ${milliseconds(point.p50)}, 95 % within ${milliseconds(point.p95)}`;
  return (
    <>
      <p>{said}, at most {perSecond(highest)}{traffic.deploys.length > 0 && <> · <span class="swatch deploy" aria-hidden="true" /> {count(traffic.deploys.length, "deploy")}</>}</p>
      <div class="charts">
        <Chart {...shared} title="Requests per second" series={RATE} top={ceiling(Math.max(0, ...rates))} format={(value) => perSecond(value ?? 0)} filled />
        <Chart {...shared} title="Failed (5xx)" series={ERRORS} top={Math.min(100, ceiling(Math.max(failed, 1)))} format={percent} />
        <Chart {...shared} title="Time to the answer" series={LATENCY} top={ceiling(slowest)} format={milliseconds} />
      </div>
      {last > 0 && (
        <label class="scrub"><span class="sr">Moment</span>
          <input type="range" min={0} max={last} value={index} aria-valuetext={moment}
            onInput={(event) => choose(Number(event.currentTarget.value))} /></label>
      )}
      <details>
        <summary>As a table</summary>
        <Table traffic={traffic} />
      </details>
    </>
  );
}

interface ChartProps {
  traffic: Traffic;
  point: TrafficPoint | undefined;
  choose(index: number): void;
  title: string;
  series: Series[];
  top: number;
  format(value: Value): string;
  filled?: boolean;
}

function Chart({ traffic, point, choose, title, series, top, format, filled }: ChartProps) {
  /** The point under a finger or a mouse. */
  function pick(event: PointerEvent): void {
    const box = (event.currentTarget as SVGElement).getBoundingClientRect();
    const from = Date.parse(traffic.from);
    const time = from + ((event.clientX - box.left) / box.width) * (Date.parse(traffic.to) - from);
    let nearest = 0;
    traffic.points.forEach((one, index) => {
      const best = traffic.points[nearest];
      if (best && Math.abs(middle(one) - time) < Math.abs(middle(best) - time)) nearest = index;
    });
    choose(nearest);
  }
  return (
    <figure class="chart">
      <figcaption>
        {title}
        {point && series.map(({ name, tone, value }) => (
          <span key={name} class="now">{series.length > 1 && <span class={`swatch ${tone}`} aria-hidden="true" />} {series.length > 1 && `${name} `}{format(value(point))}</span>
        ))}
        {point && <span class="now">at {clockSecond(point.time)}</span>}
        <span class="grow" />
        <span class="now">up to {format(top)}</span>
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`${title}; the table below has the numbers`}
        onPointerDown={pick} onPointerMove={(event) => (event.pointerType === "mouse" || event.buttons > 0) && pick(event)}>
        {[0, 0.5, 1].map((part) => <path key={part} class="grid" d={`M0 ${HEIGHT * part}H${WIDTH}`} />)}
        {filled && series[0] && <path class={`area ${series[0].tone}`} d={area(traffic, series[0].value, top)} />}
        {series.map(({ name, tone, value }) => <path key={name} class={`series ${tone}`} d={line(traffic, value, top)} />)}
        {traffic.deploys.map((deploy) => (
          <path key={deploy.sync} class={`deploy ${deploy.outcome}`} d={`M${across(Date.parse(deploy.finished ?? deploy.started), traffic).toFixed(1)} 0V${HEIGHT}`}>
            <title>{`Sync ${deploy.sync}: ${short(deploy.release)}`}</title>
          </path>
        ))}
        {point && <path class="cursor" d={`M${across(middle(point), traffic).toFixed(1)} 0V${HEIGHT}`} />}
      </svg>
      <div class="ends" aria-hidden="true"><span>{clockSecond(traffic.from)}</span><span>{clockSecond(traffic.to)}</span></div>
    </figure>
  );
}

/** At most so many rows: the steps with requests, the newest first. */
const ROWS = 60;

function Table({ traffic }: { traffic: Traffic }) {
  const rows = traffic.points.filter((point) => point.requests > 0).reverse();
  if (rows.length === 0) return <p class="quiet">There were no requests.</p>;
  return (
    <div class="scroll">
      <table class="rows">
        <caption class="sr">Requests, the newest first</caption>
        <thead><tr><th scope="col">From</th><th scope="col">Requests</th><th scope="col">Per second</th><th scope="col">Failed</th>
          <th scope="col">Half within</th><th scope="col">95 % within</th><th scope="col">99 % within</th></tr></thead>
        <tbody>
          {rows.slice(0, ROWS).map((point) => (
            <tr key={point.time}>
              <th scope="row">{clockSecond(point.time)}</th><td>{point.requests}</td><td>{perSecond(rate(point))}</td>
              <td>{percent(errorShare(point))}</td><td>{milliseconds(point.p50)}</td><td>{milliseconds(point.p95)}</td><td>{milliseconds(point.p99)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > ROWS && <p class="quiet">{rows.length - ROWS} earlier ones are left out.</p>}
    </div>
  );
}

function Deploys({ deploys, base }: { deploys: Deploy[]; base: string }) {
  if (deploys.length === 0) return <p class="quiet">Nothing was deployed in that time.</p>;
  return (
    <section aria-label="Deploys">
      <h2>Deploys</h2>
      <ul class="deploys">
        {[...deploys].reverse().map((deploy) => (
          <li key={deploy.sync}>
            <OutcomeMark outcome={deploy.outcome} /> <a href={`${base}/timeline?sync=${deploy.sync}`}>Sync {deploy.sync}</a>{" "}
            <span class="mono">{short(deploy.release)}</span> <span class="mono quiet">{deploy.revision}</span>{" "}
            <span class="quiet">{trigger(deploy.trigger)} by {deploy.actor} · <Time at={deploy.started} /></span>
          </li>
        ))}
      </ul>
    </section>
  );
}
