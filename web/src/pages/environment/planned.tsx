/** Objects with what would happen to each, field by field. */
import type { PlannedObject } from "../../api/contract";
import { fullLabel } from "../../format/names";
import { ActionMark } from "../../ui/status";
import { Changes } from "./changes";

export function Planned({ objects }: { objects: PlannedObject[] }) {
  return (
    <ul class="plan">
      {objects.map((object) => (
        <li key={fullLabel(object.object)}>
          <p><ActionMark action={object.action} /> <strong>{fullLabel(object.object)}</strong>{" "}
            {object.origin && <span class="quiet">{object.origin.file}:{object.origin.line}</span>}</p>
          {object.message && <p>{object.message}</p>}
          {(object.fields?.length ?? 0) > 0 && <Changes fields={object.fields ?? []} />}
        </li>
      ))}
    </ul>
  );
}
