/** What the containers of pods print. */
import { Component } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { logsPath } from "../../api/calls";
import type { EnvironmentKey, LogLine, LogProblem, TreeNode } from "../../api/contract";
import { clockTime } from "../../format/time";
import { LogPlaces } from "../../live/lines";
import { openStream, type StreamState } from "../../live/stream";
import { breakableLine } from "../../ui/breakable";
import type { ViewProps } from "./index";
import { podsOf } from "./rows";

/** Older lines are dropped: what runs for days must not fill the browser. */
const MOST = 5000;
/** Milliseconds before a log that has ended is asked for again: its container may have been started anew. */
const ENDED = 5000;

/** A line with its place among all that were read, by which it is known again. */
interface Numbered extends LogLine {
  number: number;
}

export function LogsView({ env, tree }: ViewProps) {
  const workloads = (tree.data?.components ?? []).flatMap((one) => one.objects).filter((node) => podsOf(node).length > 0);
  const [chosen, setChosen] = useState("");
  const choices = workloads.flatMap((node) => [node, ...podsOf(node)]);
  const id = (node: TreeNode) => `${node.object.kind} ${node.object.namespace}/${node.object.name}`;
  const node = choices.find((choice) => id(choice) === chosen) ?? workloads[0];
  if (!node) return <p>No pod runs here yet.</p>;
  const pods = podsOf(node).map((pod) => pod.object.name);
  return (
    <>
      <label>Logs of <select value={id(node)} onChange={(event) => setChosen(event.currentTarget.value)}>
        {choices.map((choice) => <option key={id(choice)} value={id(choice)}>{choice.object.kind} {choice.object.name}</option>)}
      </select></label>
      <LogStream key={id(node)} env={env} namespace={node.object.namespace ?? ""} pods={pods} />
    </>
  );
}

export function LogStream({ env, namespace, pods }: { env: EnvironmentKey; namespace: string; pods: string[] }) {
  const [lines, setLines] = useState<Numbered[]>([]);
  const count = useRef(0);
  const [problems, setProblems] = useState<LogProblem[]>([]);
  const [search, setSearch] = useState("");
  const [previous, setPrevious] = useState(false);
  const [follow, setFollow] = useState(true);
  const box = useRef<HTMLDivElement>(null);
  const names = [...pods].sort().join(",");
  const [state, setState] = useState<StreamState>("connecting");
  // What was read stays when pods come and go, and when the stream breaks off; another question begins anew.
  const places = useRef({ of: previous, known: new LogPlaces() });
  useEffect(() => {
    if (places.current.of !== previous) {
      places.current = { of: previous, known: new LogPlaces() };
      setLines([]);
    }
    const known = places.current.known;
    setProblems([]);
    let waiting: Numbered[] = [];
    const timer = setInterval(() => {
      if (waiting.length === 0) return;
      const arrived = waiting;
      waiting = [];
      setLines((last) => [...last, ...arrived].slice(-MOST));
    }, 150);
    const query = new URLSearchParams({ namespace, pods: names, follow: "true" });
    if (previous) {
      query.set("previous", "true");
      query.set("follow", "false");
    }
    let ended = false;
    const stream = openStream(`${logsPath(env)}?${query}`, {
      resume() {
        const since = known.since();
        known.again();
        return since === undefined ? "&tail=500" : `&tail=${MOST}&since=${encodeURIComponent(since)}`;
      },
      onState(state) {
        // Problems are told again by the stream that follows.
        if (state === "open") setProblems([]);
        setState(state);
      },
      onMessage({ event, data }) {
        if (event === "line") {
          const line = JSON.parse(data) as LogLine;
          if (known.isNew(line)) waiting.push({ ...line, number: count.current++ });
        }
        else if (event === "problem") setProblems((last) => [...last, JSON.parse(data) as LogProblem].slice(-20));
        else if (event === "end") {
          // A container that is started again goes on; one that has ended for good is seldom asked about.
          ended = true;
          if (previous) stream.close();
        }
      },
      onRefused(problem) {
        setProblems([{ pod: "", container: "", message: problem.message }]);
        // Whoever may not read it now may not do so in a moment either; a server that is starting is asked again.
        return problem.status === 429 || problem.status >= 500;
      },
      onEnd() {
        const pause = ended ? ENDED : 0;
        ended = false;
        return pause;
      },
    });
    return () => {
      clearInterval(timer);
      stream.close();
    };
  }, [env, namespace, names, previous]);
  useEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines, follow, search]);
  const wanted = search.toLowerCase();
  const shown = wanted ? lines.filter((line) => line.text.toLowerCase().includes(wanted)) : lines;
  const several = pods.length > 1;
  return (
    <>
      <p class="inline">
        <label><span class="sr">Search logs</span><input type="search" placeholder="Search" value={search} onInput={(event) => setSearch(event.currentTarget.value)} /></label>
        <label><input type="checkbox" checked={follow} onChange={(event) => setFollow(event.currentTarget.checked)} /> Follow</label>
        <label><input type="checkbox" checked={previous} onChange={(event) => setPrevious(event.currentTarget.checked)} /> Previous container</label>
        <span class="quiet" role="status">{shown.length} lines{state === "reconnecting" && " · the stream broke off: reconnecting…"}</span>
      </p>
      {problems.map((problem, index) => <p key={index} class="strip warn">{[problem.pod, problem.container].filter(Boolean).join("/")}: {problem.message}</p>)}
      <div class="log" role="log" aria-label="Log lines" tabIndex={0} ref={box} onScroll={(event) => {
        const at = event.currentTarget;
        setFollow(at.scrollHeight - at.scrollTop - at.clientHeight < 24);
      }}>
        {shown.length === 0 && <p class="quiet">{wanted ? "No line has that." : "Nothing was printed yet."}</p>}
        {shown.map((line) => <Line key={line.number} line={line} several={several} />)}
      </div>
    </>
  );
}

/** A line never changes, and there are thousands: each is drawn once. */
class Line extends Component<{ line: LogLine; several: boolean }> {
  override shouldComponentUpdate(next: { several: boolean }): boolean {
    return next.several !== this.props.several;
  }
  override render() {
    const { line, several } = this.props;
    return <div>{line.time && <span class="quiet">{clockTime(line.time)} </span>}{several && <span class="pod">{line.pod} </span>}{breakableLine(line.text)}</div>;
  }
}
