/** What the person who is logged in may do with an environment, as the server says. */
import { signal } from "@preact/signals";
import type { EnvironmentKey, Rights } from "../api/contract";

const known = signal<{ key: string; rights: Rights } | undefined>(undefined);

const keyOf = ({ namespace, name }: EnvironmentKey): string => `${namespace}/${name}`;

/** Keeps what the server has said of the environment that is looked at. */
export function learn(environment: EnvironmentKey, rights: Rights): void {
  known.value = { key: keyOf(environment), rights };
}

/** Nothing, until the server has said so. */
export function may(verb: keyof Rights, environment: EnvironmentKey | undefined): boolean {
  const found = known.value;
  return environment !== undefined && found?.key === keyOf(environment) && found.rights[verb] === true;
}
