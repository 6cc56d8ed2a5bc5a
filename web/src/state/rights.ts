/** What the person who is logged in may do with an environment. */
import type { EnvironmentView, Session } from "../api/contract";
import { session } from "./session";

/** With everything that is one's own, and else with what may be done with all environments. */
export function may(verb: keyof Session["may"], environment: Pick<EnvironmentView, "owner"> | undefined): boolean {
  const who = session.value;
  if (!who || !environment) return false;
  return who.may[verb] || environment.owner === who.user;
}
