/** Logging in, making the first account from the one-time link, and joining from an invitation. */
import { useEffect, useState } from "preact/hooks";
import * as calls from "../api/calls";
import type { ProblemError } from "../api/client";
import type { LoginInfo, Session } from "../api/contract";
import { NAME, NAME_RULE } from "../format/names";
import { location, navigate } from "../router";
import { asProblem } from "../state/resource";
import { nextOf, session } from "../state/session";
import { ProblemBox } from "../ui/problem";

function useForm(send: () => Promise<Session>) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<ProblemError>();
  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    try {
      session.value = await send();
      navigate(nextOf(location.value.query), { replace: true });
    } catch (error) {
      setProblem(asProblem(error));
      setBusy(false);
    }
  }
  return { busy, problem, setProblem, submit };
}

/** What the server says of a login at the provider that failed. */
const FAILED: Record<string, string> = {
  expired: "The login took too long, or was begun in another browser. Try again.",
  denied: "The provider refused the login.",
  unavailable: "The provider does not answer. Try again in a moment, or log in with a password.",
  invalid: "The provider's answer does not hold, so nobody was logged in. Tell whoever runs Seaway: the log says why.",
  name: "The provider's name for you cannot be one here. Tell whoever runs Seaway: the log says why.",
  role: "None of your groups has a role here. Ask whoever runs Seaway for one.",
  taken: "Somebody else has your name here. Ask whoever runs Seaway.",
  locked: "Your account is locked. Ask whoever runs Seaway.",
};

export function Login() {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [info, setInfo] = useState<LoginInfo>();
  const form = useForm(() => calls.login(name, password));
  const failed = location.value.query.get("failed");
  useEffect(() => {
    calls.loginInfo().then(setInfo, (error: unknown) => form.setProblem(asProblem(error)));
  }, []);
  return (
    <main class="narrow">
      <h1>Log in to Seaway</h1>
      {info?.setup && (
        <p class="note">There is no account yet. Open the link that <code>seaway up</code> printed to make the first one.</p>
      )}
      {failed && <p class="note" role="alert">{FAILED[failed] ?? "The login failed."}</p>}
      {info?.provider && (
        <p><a class="button primary" href={`${info.provider.url}?next=${encodeURIComponent(nextOf(location.value.query))}`}>Log in with {info.provider.name}</a></p>
      )}
      <form onSubmit={(event) => void form.submit(event)}>
        <label>Name<input name="username" autocomplete="username" autocapitalize="none" required value={name}
          onInput={(event) => setName(event.currentTarget.value)} /></label>
        <label>Password<input name="password" type="password" autocomplete="current-password" required value={password}
          onInput={(event) => setPassword(event.currentTarget.value)} /></label>
        {form.problem && <ProblemBox problem={form.problem} />}
        <button type="submit" class="primary" disabled={form.busy}>Log in</button>
      </form>
      {info && <p class="quiet">Seaway {info.version}</p>}
    </main>
  );
}

/** A password that is chosen now, typed twice. */
function useNewPassword() {
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const differs = again !== "" && again !== password;
  const fields = (
    <>
      <label>Password<input name="password" type="password" autocomplete="new-password" required minLength={12}
        maxLength={128} aria-describedby="rule" value={password}
        onInput={(event) => setPassword(event.currentTarget.value)} /></label>
      <p id="rule" class="quiet">At least 12 characters.</p>
      <label>Password again<input name="again" type="password" autocomplete="new-password" required value={again}
        aria-invalid={differs} onInput={(event) => setAgain(event.currentTarget.value)} /></label>
      {differs && <p role="alert" class="bad">The two passwords differ.</p>}
    </>
  );
  return { password, differs, fields };
}

export function Setup() {
  const [name, setName] = useState("");
  const chosen = useNewPassword();
  const code = location.value.hash.slice(1);
  const form = useForm(() => calls.setup(code, name, chosen.password));
  return (
    <main class="narrow">
      <h1>Welcome to Seaway</h1>
      <p>Make the first account. It may do everything on this machine; you can give others less.</p>
      {code === "" && <p class="note">The link is not complete: copy all of the line that <code>seaway up</code> printed.</p>}
      <form onSubmit={(event) => void form.submit(event)}>
        <label>Name<input name="username" autocomplete="username" autocapitalize="none" required pattern={NAME}
          title={NAME_RULE} value={name} onInput={(event) => setName(event.currentTarget.value)} /></label>
        {chosen.fields}
        {form.problem && <ProblemBox problem={form.problem} />}
        <button type="submit" class="primary" disabled={form.busy || chosen.differs || code === ""}>Create account</button>
      </form>
    </main>
  );
}

export function Join() {
  const chosen = useNewPassword();
  const code = location.value.hash.slice(1);
  const form = useForm(() => calls.join(code, chosen.password));
  return (
    <main class="narrow">
      <h1>Welcome to Seaway</h1>
      <p>Choose the password of your account. The link that brought you here is good once.</p>
      {code === "" && <p class="note">The link is not complete: copy all of what you were sent.</p>}
      <form onSubmit={(event) => void form.submit(event)}>
        {chosen.fields}
        {form.problem && <ProblemBox problem={form.problem} />}
        <button type="submit" class="primary" disabled={form.busy || chosen.differs || code === ""}>Log in</button>
      </form>
    </main>
  );
}
