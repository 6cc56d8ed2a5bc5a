/** Personal access tokens: for programs that act for whoever is logged in. */
import { useRef, useState } from "preact/hooks";
import * as calls from "../api/calls";
import type { ProblemError } from "../api/client";
import type { AccessToken, NewAccessToken, Scope } from "../api/contract";
import { exact } from "../format/time";
import { say } from "../state/notices";
import { asProblem, useResource } from "../state/resource";
import { Dialog } from "../ui/dialog";
import { ProblemBox } from "../ui/problem";
import { Time } from "../ui/time";

const SCOPES: Record<Exclude<Scope, "read">, string> = {
  deploy: "Deploy: sync, roll back, hold, approve",
  write: "Write: make, change and delete environments",
  accounts: "Accounts: see, add, change and remove people",
  audit: "Audit: read and export who did what",
};

const DAY = 24 * 60 * 60 * 1000;
const DAYS = [1, 7, 30, 90, 365];

export function Tokens() {
  const list = useResource("tokens", calls.accessTokens);
  const [made, setMade] = useState<NewAccessToken>();
  const [ending, setEnding] = useState<AccessToken>();
  return (
    <>
      <div class="head"><h1>Access tokens</h1></div>
      <p class="quiet">A token lets a program do what you may, within its scopes. It sends it as a bearer token;
        the command line takes it from <code>SEAWAY_TOKEN</code>.</p>
      <Create done={(token) => {
        setMade(token);
        list.reload();
      }} />
      {made && <Once key={made.id} made={made} close={() => setMade(undefined)} />}
      {list.problem && <ProblemBox problem={list.problem} retry={list.reload} />}
      {list.data?.items.length === 0 && <p>You have no token.</p>}
      {(list.data?.items.length ?? 0) > 0 && (
        <div class="scroll">
          <table class="rows">
            <caption class="sr">Access tokens</caption>
            <thead><tr><th scope="col">Name</th><th scope="col">May</th><th scope="col">Good until</th>
              <th scope="col">Last used</th><th scope="col">Made</th><th scope="col"><span class="sr">Actions</span></th></tr></thead>
            <tbody>
              {list.data?.items.map((one) => (
                <tr key={one.id}>
                  <th scope="row">{one.name}</th>
                  <td>{one.scopes.join(", ")}</td>
                  <td>{exact(Date.parse(one.expires))}</td>
                  <td>{one.used ? <Time at={one.used} /> : "never"}</td>
                  <td><Time at={one.created} /></td>
                  <td class="acts"><button type="button" aria-label={`Revoke ${one.name}`} onClick={() => setEnding(one)}>Revoke</button></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {ending && (
        <Dialog title={`Revoke ${ending.name}?`} confirm="Revoke" close={() => setEnding(undefined)}
          act={async () => {
            await calls.revokeAccessToken(ending.id);
            if (made?.id === ending.id) setMade(undefined);
            list.reload();
            say(`${ending.name} is revoked.`);
          }}>
          <p>Whatever uses it is refused from now on.</p>
        </Dialog>
      )}
    </>
  );
}

function Create({ done }: { done(token: NewAccessToken): void }) {
  const [name, setName] = useState("");
  const [days, setDays] = useState(30);
  const [scopes, setScopes] = useState<Scope[]>([]);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<ProblemError>();
  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    try {
      done(await calls.createAccessToken(name, scopes, new Date(Date.now() + days * DAY).toISOString()));
      setName("");
      setScopes([]);
    } catch (error) {
      setProblem(asProblem(error));
    }
    setBusy(false);
  }
  return (
    <form onSubmit={(event) => void submit(event)}>
      <div class="inline">
        <label>Name <input name="name" autocomplete="off" required maxLength={64} value={name}
          onInput={(event) => setName(event.currentTarget.value)} /></label>
        <label>Good for <select value={String(days)} onChange={(event) => setDays(Number(event.currentTarget.value))}>
          {DAYS.map((one) => <option key={one} value={String(one)}>{one === 1 ? "a day" : `${one} days`}</option>)}
        </select></label>
        <button type="submit" class="primary" disabled={busy}>Make a token</button>
      </div>
      <fieldset>
        <legend>Besides reading it may</legend>
        {(Object.keys(SCOPES) as (keyof typeof SCOPES)[]).map((scope) => (
          <label key={scope} class="check">
            <input type="checkbox" checked={scopes.includes(scope)} onChange={(event) => {
              const on = event.currentTarget.checked;
              setScopes((last) => (on ? [...last, scope] : last.filter((one) => one !== scope)));
            }} /> {SCOPES[scope]}
          </label>
        ))}
      </fieldset>
      {problem && <ProblemBox problem={problem} />}
    </form>
  );
}

/** The server keeps no more than a digest: the token is shown here until it is closed. */
function Once({ made, close }: { made: NewAccessToken; close(): void }) {
  const input = useRef<HTMLInputElement>(null);
  const [copied, setCopied] = useState(false);
  async function copy(): Promise<void> {
    input.current?.select();
    try {
      await navigator.clipboard.writeText(made.token);
      setCopied(true);
    } catch {
      // Not allowed here: what is selected can be copied by hand.
      setCopied(false);
    }
  }
  return (
    <section class="note" aria-label={`Token ${made.name}`}>
      <p role="status">This is the token {made.name}. Copy it: it is shown only now.</p>
      <p class="once">
        <input ref={input} readOnly value={made.token} aria-label="Token" onFocus={(event) => event.currentTarget.select()} />
        <button type="button" class="primary" onClick={() => void copy()}>{copied ? "Copied" : "Copy"}</button>
        <button type="button" onClick={close}>Done</button>
      </p>
    </section>
  );
}
