/** Objects, releases and people as short text, and as keys. */
import type { ObjectRef } from "../api/contract";

/** `Deployment web`. */
export function label(object: ObjectRef): string {
  return `${object.kind} ${object.name}`;
}

/** `Deployment.apps shop/web`: as the server's messages write it. */
export function fullLabel({ group, kind, namespace, name }: ObjectRef): string {
  return `${group ? `${kind}.${group}` : kind} ${namespace ? `${namespace}/${name}` : name}`;
}

/** One text for one object: for addresses, and to compare. */
export function objectKey({ group, version, kind, namespace, name }: ObjectRef): string {
  return [group, version, kind, namespace ?? "", name].join("/");
}

export function parseObjectKey(text: string): ObjectRef | undefined {
  const [group, version, kind, namespace, name, ...more] = text.split("/");
  if (group === undefined || !version || !kind || !name || more.length > 0) return undefined;
  return { group, version, kind, namespace: namespace || undefined, name };
}

/** The start of a hash or a digest, enough to tell it from others. */
export function short(hash: string): string {
  const bare = hash.replace(/^sha256:/, "");
  return /^[0-9a-f]{13,}$/.test(bare) ? bare.slice(0, 12) : bare;
}

/** `3 objects`, `1 object`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** A value of a manifest on one line; longer ones keep their line breaks. */
export function value(value: unknown): string {
  if (value === undefined) return "";
  if (typeof value === "string") return value;
  return JSON.stringify(value, null, typeof value === "object" && value !== null && JSON.stringify(value).length > 60 ? 2 : 0);
}

/** What began a sync, in words. */
export function trigger(trigger: string): string {
  switch (trigger) {
    case "release":
      return "new release";
    case "drift":
      return "drift reverted";
    case "person":
      return "asked for";
    case "rollback":
      return "rollback";
    case "retry":
      return "retry";
    default:
      return trigger;
  }
}

/** What the name of an account looks like, as the `pattern` of an input, and the same in words. */
export const NAME = "[a-z][a-z0-9\\-]{0,31}";
export const NAME_RULE = "A small letter, then small letters, digits and dashes";
