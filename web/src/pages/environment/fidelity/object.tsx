/** The differences of one object; its fields are drawn once somebody opens it. */
import { useState } from "preact/hooks";
import type { DifferenceClass } from "../../../api/contract";
import { count, fullLabel, value } from "../../../format/names";
import { useMore } from "../../../ui/more";
import type { ClassGroup, ObjectGroup } from "./groups";

/** Fields that are shown at once. */
const STEP = 100;

export const NAMES: Record<DifferenceClass, string> = {
  undeclared: "undeclared",
  override: "override",
  rule: "rule of the stack",
  standIn: "stand-in",
  identity: "names of its own",
};

export function Group({ group, left, right }: { group: ObjectGroup; left: string; right: string }) {
  const [open, setOpen] = useState(false);
  return (
    <li class={group.undeclared > 0 ? "alarm" : ""}>
      <details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>
          {fullLabel(group.object)}{" "}
          {group.classes.map((part) => (
            <span key={part.class + part.rule} class={`tag ${tone(part.class)}`}>{part.fields.length} {named(part)}</span>
          ))}
        </summary>
        {open && group.classes.map((part) => <Fields key={part.class + part.rule} part={part} left={left} right={right} />)}
      </details>
    </li>
  );
}

function Fields({ part, left, right }: { part: ClassGroup; left: string; right: string }) {
  const { shown, more } = useMore(part.fields, STEP);
  return (
    <>
      <div class="scroll">
        <table class="changes">
          <caption>{count(part.fields.length, "field")}: {named(part)}</caption>
          <thead><tr><th scope="col">Field</th><th scope="col">{left}</th><th scope="col">{right}</th></tr></thead>
          <tbody>
            {shown.map((field) => (
              <tr key={field.path}>
                <td>{field.path ? <code>{field.path}</code> : "the whole object"}</td>
                <td><code class="from">{field.left === undefined ? "–" : value(field.left)}</code></td>
                <td><code class="to">{field.right === undefined ? "–" : value(field.right)}</code></td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {more}
    </>
  );
}

function named(part: ClassGroup): string {
  return part.rule ? `${NAMES[part.class]}: ${part.rule}` : NAMES[part.class];
}

function tone(name: DifferenceClass): string {
  return name === "undeclared" ? "bad" : name === "override" ? "warn" : "";
}
