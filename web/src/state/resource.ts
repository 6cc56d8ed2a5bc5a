/** What a view shows of the server: loaded, kept while it is loaded again, and dropped when the view asks for another. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { aborted, ProblemError, unreachable } from "../api/client";

export interface Resource<T> {
  data?: T;
  problem?: ProblemError;
  loading: boolean;
  /** Asks again; while an answer is awaited, once more after it. */
  reload(): void;
}

interface State<T> {
  key: string;
  data?: T;
  problem?: ProblemError;
  loading: boolean;
}

export function asProblem(error: unknown): ProblemError {
  return error instanceof ProblemError ? error : unreachable();
}

/** `key` names what is loaded: another key is another thing, and nothing of the last one is shown. */
export function useResource<T>(key: string, load: (signal: AbortSignal) => Promise<T>): Resource<T> {
  const [state, setState] = useState<State<T>>({ key, loading: true });
  const latest = useRef(load);
  latest.current = load;
  const again = useRef<() => void>(() => {});

  useEffect(() => {
    const controller = new AbortController();
    let running = false;
    let dirty = false;
    async function run(): Promise<void> {
      if (running) {
        dirty = true;
        return;
      }
      running = true;
      do {
        dirty = false;
        try {
          const data = await latest.current(controller.signal);
          if (controller.signal.aborted) return;
          setState({ key, data, loading: false });
        } catch (error) {
          if (aborted(error) || controller.signal.aborted) return;
          const problem = asProblem(error);
          // What was seen stays while the server is away; what is gone (404) or refused is not shown any more.
          setState((last) => ({
            key,
            data: last.key === key && (problem.status === 0 || problem.status >= 500) ? last.data : undefined,
            problem,
            loading: false,
          }));
        }
      } while (dirty);
      running = false;
    }
    setState((last) => (last.key === key ? last : { key, loading: true }));
    again.current = () => void run();
    void run();
    return () => controller.abort();
  }, [key]);

  const reload = useCallback(() => again.current(), []);
  // Between a new key and its effect, the last key's data must not be seen.
  return state.key === key ? { ...state, reload } : { loading: true, reload };
}
