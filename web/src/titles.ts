/** What a page is called, for the window, its history and whoever hears of a change of page (WCAG 2.4.2). */
import { TABS } from "./pages/environment/tabs";
import { parts } from "./router";

const PAGES: Record<string, string> = {
  "": "Environments",
  accounts: "People",
  audit: "Audit",
  "command-line": "Command line",
  copies: "Copies",
  join: "Join",
  login: "Log in",
  setup: "First account",
  tokens: "Access tokens",
};

/** `staging · Timeline – Seaway`: what tells it from others comes first. */
export function titleOf(path: string): string {
  const names = parts(path);
  const [first = "", namespace, name, tab = "tree"] = names ?? ["?"];
  const views: Record<string, string> = TABS;
  let title = Object.hasOwn(PAGES, first) && namespace === undefined ? PAGES[first] : "Nothing is here";
  if (first === "environments" && namespace && name && (names?.length ?? 0) <= 4) {
    title = `${name} · ${Object.hasOwn(views, tab) ? views[tab] : "Nothing is here"}`;
  }
  return `${title} – Seaway`;
}

/** Where one is after the way from one page to another: views of one environment share what stands above them. */
export function placeOf(from: string, to: string): "view" | "content" {
  const environment = (path: string) => parts(path)?.slice(0, 3).join("/");
  return to.startsWith("/environments/") && environment(from) === environment(to) ? "view" : "content";
}
