/** Fields that change, with who owns them today. */
import type { FieldChange } from "../../api/contract";
import { value } from "../../format/names";
import { Time } from "../../ui/time";

export function Changes({ fields }: { fields: FieldChange[] }) {
  return (
    <table class="changes">
      <thead><tr><th scope="col">Field</th><th scope="col">Today</th><th scope="col">In Git</th><th scope="col">Set by</th></tr></thead>
      <tbody>
        {fields.map((field) => (
          <tr key={field.path}>
            <td><code>{field.path}</code> {field.drift && <span class="tag warn">drift</span>}</td>
            <td><code class="from">{value(field.from) || "–"}</code></td>
            <td><code class="to">{value(field.to) || "–"}</code></td>
            <td>{field.owner && <>{field.owner.manager} <span class="quiet"><Time at={field.owner.time} /></span></>}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
