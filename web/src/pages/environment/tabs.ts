/** The views of an environment, by the last part of their address. */
export const TABS = {
  tree: "Tree",
  timeline: "Timeline",
  history: "History",
  traffic: "Traffic",
  plan: "Plan",
  overrides: "Overrides",
  fidelity: "Fidelity",
  logs: "Logs",
};
