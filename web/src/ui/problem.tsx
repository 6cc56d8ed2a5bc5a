/** What went wrong, and what to do next. */
import type { ProblemError } from "../api/client";

export function ProblemBox({ problem, retry }: { problem: ProblemError; retry?: () => void }) {
  const { title, detail, help } = problem.problem;
  return (
    <div class="problem" role="alert">
      <p><strong>{title}</strong></p>
      {detail && <p>{detail}</p>}
      {help && <p class="quiet">{help}</p>}
      {retry && <button type="button" onClick={retry}>Try again</button>}
    </div>
  );
}
