/** The frame around every view: who is logged in, what is connected, where one is. */
import { useEffect, useRef } from "preact/hooks";
import { connection, startEvents } from "./live/events";
import { Join, Login, Setup } from "./pages/access";
import { Accounts } from "./pages/accounts";
import { Audit } from "./pages/audit";
import { Copies } from "./pages/copies";
import { CommandLine } from "./pages/command-line";
import { EnvironmentPage } from "./pages/environment";
import { Environments } from "./pages/environments";
import { Tokens } from "./pages/tokens";
import { location, parts } from "./router";
import { dismiss, notices } from "./state/notices";
import { expire, loadSession, logout, session, sessionProblem } from "./state/session";
import { theme, type Theme } from "./state/theme";
import { placeOf, titleOf } from "./titles";
import { ProblemBox } from "./ui/problem";

export function App() {
  const { path } = location.value;
  useEffect(() => {
    document.title = titleOf(path);
  }, [path]);
  if (path === "/setup") return <Setup />;
  if (path === "/join") return <Join />;
  if (path === "/login") return <Login />;
  if (sessionProblem.value) {
    return (
      <main class="narrow">
        <ProblemBox problem={sessionProblem.value} retry={() => void loadSession()} />
      </main>
    );
  }
  if (session.value === undefined) return <Waiting />;
  if (session.value === null) return <ToLogin />;
  return <Frame />;
}

function Waiting() {
  useEffect(() => {
    // The first answer may have said that nobody is logged in before this was drawn.
    const timer = setTimeout(() => session.value === undefined && void loadSession(), 4000);
    return () => clearTimeout(timer);
  }, []);
  return <main class="narrow" aria-busy="true"><p class="quiet">Connecting…</p></main>;
}

function ToLogin() {
  useEffect(expire, []);
  return null;
}

function Frame() {
  useEffect(startEvents, []);
  useArrival();
  const names = parts(location.value.path);
  const [first, namespace, name, tab] = names ?? ["?"];
  let view = <NotFound />;
  if (names?.length === 0) view = <Environments />;
  else if (first === "accounts" && names?.length === 1) view = <Accounts />;
  else if (first === "audit" && names?.length === 1) view = <Audit />;
  else if (first === "copies" && names?.length === 1) view = <Copies />;
  else if (first === "tokens" && names?.length === 1) view = <Tokens />;
  else if (first === "command-line" && names?.length === 1) view = <CommandLine />;
  else if (first === "environments" && namespace && name && (names?.length ?? 0) <= 4) {
    view = <EnvironmentPage key={`${namespace}/${name}`} namespace={namespace} name={name} tab={tab ?? "tree"} />;
  }
  return (
    <>
      <a class="skip" href="#content">Skip to content</a>
      <header class="bar">
        <a class="brand" href="/">Seaway</a>
        <nav aria-label="Main">
          <a href="/" aria-current={names?.length === 0 ? "page" : undefined}>Environments</a>
          <a href="/copies" aria-current={first === "copies" ? "page" : undefined}>Copies</a>
          {session.value?.may.accounts && (
            <a href="/accounts" aria-current={first === "accounts" ? "page" : undefined}>People</a>
          )}
          {session.value?.may.audit && (
            <a href="/audit" aria-current={first === "audit" ? "page" : undefined}>Audit</a>
          )}
        </nav>
        <span class="grow" />
        <ThemeChoice />
        <a class="who" href="/tokens" aria-current={first === "tokens" ? "page" : undefined} title="Your access tokens">{session.value?.user}</a>
        <button type="button" onClick={() => void logout()}>Log out</button>
      </header>
      {connection.value === "reconnecting" && (
        <p class="strip warn" role="status">The connection to the server is lost: reconnecting… What is shown may be old.</p>
      )}
      <main id="content" tabIndex={-1}>{view}</main>
      <Notices />
    </>
  );
}

/** Whoever goes by keyboard or listens arrives at another page's content, as with a page that is loaded. */
function useArrival() {
  const { path } = location.value;
  const last = useRef(path);
  useEffect(() => {
    if (path === last.current) return;
    const place = document.getElementById(placeOf(last.current, path)) ?? document.getElementById("content");
    last.current = path;
    place?.focus({ preventScroll: true });
  }, [path]);
}

function ThemeChoice() {
  return (
    <label class="theme">
      <span class="sr">Colours</span>
      <select value={theme.value} onChange={(event) => (theme.value = event.currentTarget.value as Theme)}>
        <option value="system">Auto</option>
        <option value="light">Light</option>
        <option value="dark">Dark</option>
      </select>
    </label>
  );
}

function Notices() {
  return (
    <div class="notices" role="status" aria-live="polite">
      {notices.value.map((notice) => (
        <div key={notice.id} class={`notice ${notice.kind}`}>
          <p>{notice.text}{notice.help && <><br /><span class="quiet">{notice.help}</span></>}</p>
          <button type="button" onClick={() => dismiss(notice.id)} aria-label="Dismiss">×</button>
        </div>
      ))}
    </div>
  );
}

function NotFound() {
  return <><h1>Nothing is here</h1><p>The address leads nowhere. <a href="/">All environments</a></p></>;
}
