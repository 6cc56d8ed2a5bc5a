/** The end of an environment. */
import { useState } from "preact/hooks";
import * as calls from "../../api/calls";
import type { EnvironmentDetail } from "../../api/contract";
import { navigate } from "../../router";
import { say } from "../../state/notices";
import { session } from "../../state/session";
import { Dialog } from "../../ui/dialog";

export function DeleteDialog({ detail, close }: { detail: EnvironmentDetail; close(): void }) {
  const [typed, setTyped] = useState("");
  // What others use is not deleted by a slip.
  const own = detail.owner !== undefined && detail.owner === session.value?.user;
  return (
    <Dialog title={`Delete ${detail.name}?`} confirm="Delete" ready={own || typed === detail.name} close={close} act={async () => {
      await calls.remove(detail);
      say(`${detail.name} is being deleted`);
      navigate("/");
    }}>
      <p>Everything that it deployed is deleted as well, with its data. This cannot be undone.</p>
      {!own && <label>Type <strong>{detail.name}</strong> to confirm<input value={typed} autocomplete="off" autocapitalize="none"
        onInput={(event) => setTyped(event.currentTarget.value)} /></label>}
    </Dialog>
  );
}
