/** Names that end up in addresses: what Kubernetes takes as a DNS label. */

const LONGEST = 63;

/** What is wrong with a name, in words; `undefined`: nothing. */
export function labelProblem(name: string): string | undefined {
  if (name === "") return "A name is needed.";
  if (/[^a-z0-9-]/.test(name)) return "Only small letters, digits and dashes.";
  if (name.startsWith("-") || name.endsWith("-")) return "It begins and ends with a letter or a digit.";
  if (name.length > LONGEST) return `At most ${LONGEST} characters; these are ${name.length}.`;
  return undefined;
}

/** A name made of several parts, each as far as it may stand in one. */
export function label(...parts: string[]): string {
  const text = parts.join("-").toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, LONGEST);
  return text.replace(/^-+|-+$/g, "");
}
