/** Who can log in: adding people, giving them a new link, removing them. */
import { useRef, useState } from "preact/hooks";
import * as calls from "../api/calls";
import type { ProblemError } from "../api/client";
import type { Account, Invitation, Role } from "../api/contract";
import { NAME, NAME_RULE } from "../format/names";
import { exact } from "../format/time";
import { complain, say } from "../state/notices";
import { asProblem, useResource } from "../state/resource";
import { Dialog } from "../ui/dialog";
import { ProblemBox } from "../ui/problem";
import { Time } from "../ui/time";

const ROLES: Record<Role, string> = {
  developer: "Developer: has environments of their own",
  viewer: "Viewer: looks at shared environments",
  approver: "Approver: lets changes into shared environments",
  operator: "Operator: runs shared environments",
  admin: "Administrator: may do everything",
};

const STATES: Record<Account["state"], { text: string; tone: string }> = {
  active: { text: "Active", tone: "good" },
  invited: { text: "Invited", tone: "warn" },
  locked: { text: "Locked", tone: "bad" },
};

export function Accounts() {
  const list = useResource("accounts", calls.accounts);
  const [made, setMade] = useState<Invitation>();
  const [deleting, setDeleting] = useState<Account>();
  const [assigning, setAssigning] = useState<Account>();
  function show(invitation: Invitation): void {
    setMade(invitation);
    list.reload();
  }
  async function renew(name: string): Promise<void> {
    try {
      show(await calls.invite(name));
    } catch (error) {
      complain(`No new link for ${name}`, asProblem(error));
    }
  }
  return (
    <>
      <div class="head"><h1>People</h1></div>
      <Invite done={show} />
      {made && <Link key={made.link} made={made} close={() => setMade(undefined)} />}
      {list.problem && <ProblemBox problem={list.problem} retry={list.reload} />}
      {list.data && (
        <div class="scroll">
          <table class="rows">
            <caption class="sr">Accounts</caption>
            <thead><tr><th scope="col">Name</th><th scope="col">Role</th><th scope="col">State</th>
              <th scope="col">Made</th><th scope="col"><span class="sr">Actions</span></th></tr></thead>
            <tbody>
              {list.data.items.map((one) => (
                <tr key={one.name}>
                  <th scope="row">{one.name}</th>
                  <td>{one.role ?? (one.grants?.length ? "" : one.groups.join(", "))}
                    {(one.grants?.length ?? 0) > 0 && <div class="quiet">{one.grants?.join(", ")}</div>}</td>
                  <td><span class={`mark ${STATES[one.state].tone}`}>{STATES[one.state].text}</span>
                    {one.invitedUntil && <span class="quiet"> link until {exact(Date.parse(one.invitedUntil))}</span>}</td>
                  <td><Time at={one.created} /></td>
                  <td class="acts">
                    <button type="button" aria-label={`Change the role of ${one.name}`} onClick={() => setAssigning(one)}>Role…</button>
                    <button type="button" aria-label={`New link for ${one.name}`} onClick={() => void renew(one.name)}>New link</button>
                    <button type="button" aria-label={`Delete ${one.name}`} onClick={() => setDeleting(one)}>Delete</button>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {assigning && <Assign account={assigning} close={() => setAssigning(undefined)} done={list.reload} />}
      {deleting && (
        <Dialog title={`Delete ${deleting.name}?`} confirm="Delete" close={() => setDeleting(undefined)}
          act={async () => {
            if (made?.account.name === deleting.name) setMade(undefined);
            try {
              await calls.deleteAccount(deleting.name);
            } finally {
              // Where it is refused, it may be locked by now.
              list.reload();
            }
            say(`${deleting.name} is deleted.`);
          }}>
          <p>{deleting.name} is logged out everywhere and cannot log in again. The account's namespace is deleted as well;
            while there are environments in it, the account is only locked: delete them, then the account again.</p>
        </Dialog>
      )}
    </>
  );
}

const GRANTS = "Such as operator:shop, developer:shop/staging, approver:*/production; separated by commas";

function grantsOf(text: string): string[] {
  return text.split(",").map((grant) => grant.trim()).filter((grant) => grant !== "");
}

function Assign({ account, close, done }: { account: Account; close(): void; done(): void }) {
  const [role, setRole] = useState<Role | "">(account.role ?? "");
  const [grants, setGrants] = useState((account.grants ?? []).join(", "));
  return (
    <Dialog title={`Role of ${account.name}`} confirm="Change" close={close}
      act={async () => {
        await calls.assignRole(account.name, role || undefined, grantsOf(grants));
        say(`The role of ${account.name} is changed.`);
        done();
      }}>
      <label>Role <select value={role} onChange={(event) => setRole(event.currentTarget.value as Role | "")}>
        <option value="">Grants alone</option>
        {Object.entries(ROLES).map(([value, text]) => <option key={value} value={value}>{text}</option>)}
      </select></label>
      <label>Grants <input value={grants} autocomplete="off" autocapitalize="none" aria-describedby="grants-rule"
        onInput={(event) => setGrants(event.currentTarget.value)} /></label>
      <p class="quiet" id="grants-rule">{GRANTS}. What is not named is taken away.</p>
    </Dialog>
  );
}

function Invite({ done }: { done(invitation: Invitation): void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("developer");
  const [grants, setGrants] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<ProblemError>();
  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    try {
      done(await calls.createAccount(name, role, grantsOf(grants)));
      setName("");
      setGrants("");
    } catch (error) {
      setProblem(asProblem(error));
    }
    setBusy(false);
  }
  return (
    <form onSubmit={(event) => void submit(event)}>
      <div class="inline">
        <label>Name <input name="name" autocomplete="off" autocapitalize="none" required pattern={NAME} title={NAME_RULE}
          value={name} onInput={(event) => setName(event.currentTarget.value)} /></label>
        <label>Role <select value={role} onChange={(event) => setRole(event.currentTarget.value as Role)}>
          {Object.entries(ROLES).map(([value, text]) => <option key={value} value={value}>{text}</option>)}
        </select></label>
        <label>Grants <input name="grants" autocomplete="off" autocapitalize="none" title={GRANTS} value={grants}
          onInput={(event) => setGrants(event.currentTarget.value)} /></label>
        <button type="submit" class="primary" disabled={busy}>Invite</button>
      </div>
      {problem && <ProblemBox problem={problem} />}
    </form>
  );
}

/** The link of an invitation. The server does not know it any more: it is shown here until it is closed. */
function Link({ made, close }: { made: Invitation; close(): void }) {
  const input = useRef<HTMLInputElement>(null);
  const [copied, setCopied] = useState(false);
  const link = window.location.origin + made.link;
  async function copy(): Promise<void> {
    input.current?.select();
    try {
      await navigator.clipboard.writeText(link);
      setCopied(true);
    } catch {
      // Not allowed here: what is selected can be copied by hand.
      setCopied(false);
    }
  }
  return (
    <section class="note" aria-label={`Link for ${made.account.name}`}>
      <p role="status">{made.account.name} can choose a password with this link, once, until{" "}
        {exact(Date.parse(made.expires))}. Send it to that person alone: it is shown only now.</p>
      <p class="once">
        <input ref={input} readOnly value={link} aria-label="Link" onFocus={(event) => event.currentTarget.select()} />
        <button type="button" class="primary" onClick={() => void copy()}>{copied ? "Copied" : "Copy"}</button>
        <button type="button" onClick={close}>Done</button>
      </p>
    </section>
  );
}
