/** States as icon, word and colour: colour alone says nothing to some. */
import type { Action, Health, Outcome, StepState, Sync } from "../api/contract";

const HEALTH: Record<Health, [string, string]> = {
  Healthy: ["●", "good"],
  Suspended: ["❚❚", "quiet"],
  Progressing: ["◐", "busy"],
  Missing: ["○", "warn"],
  Degraded: ["▲", "bad"],
  Unknown: ["?", "quiet"],
};

const SYNC: Record<Sync, [string, string]> = {
  Synced: ["✓", "good"],
  OutOfSync: ["≠", "warn"],
  Unknown: ["?", "quiet"],
};

const OUTCOME: Record<Outcome, [string, string, string]> = {
  running: ["◐", "busy", "Running"],
  succeeded: ["✓", "good", "Succeeded"],
  failed: ["✕", "bad", "Failed"],
  superseded: ["↷", "quiet", "Superseded"],
  cancelled: ["■", "warn", "Cancelled"],
};

const STEP: Record<StepState, [string, string, string]> = {
  waiting: ["○", "quiet", "Waiting"],
  running: ["◐", "busy", "Running"],
  succeeded: ["✓", "good", "Done"],
  failed: ["✕", "bad", "Failed"],
  cancelled: ["■", "warn", "Cancelled"],
};

function Mark({ icon, tone, word }: { icon: string; tone: string; word: string }) {
  return <span class={`mark ${tone}`}><span aria-hidden="true">{icon}</span> {word}</span>;
}

export function HealthMark({ health }: { health: Health }) {
  const [icon, tone] = HEALTH[health] ?? HEALTH.Unknown;
  return <Mark icon={icon} tone={tone} word={health} />;
}

export function SyncMark({ sync }: { sync: Sync }) {
  const [icon, tone] = SYNC[sync] ?? SYNC.Unknown;
  return <Mark icon={icon} tone={tone} word={sync === "OutOfSync" ? "Out of sync" : sync} />;
}

export function OutcomeMark({ outcome }: { outcome: Outcome }) {
  const [icon, tone, word] = OUTCOME[outcome] ?? OUTCOME.superseded;
  return <Mark icon={icon} tone={tone} word={word} />;
}

export function StepMark({ state }: { state: StepState }) {
  const [icon, tone, word] = STEP[state] ?? STEP.waiting;
  return <span class={`mark ${tone}`}><span aria-hidden="true">{icon}</span><span class="sr">{word}</span></span>;
}

export function ActionMark({ action }: { action: Action }) {
  const tone = action === "unchanged" || action === "hook" ? "quiet" : action === "create" ? "good"
    : action === "change" ? "warn" : "bad";
  return <span class={`tag ${tone}`}>{action}</span>;
}
