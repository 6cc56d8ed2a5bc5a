// What a developer does with a copy of production, in a real browser: makes it, sees the shop in it, runs a branch in
// one component, compares, pushes again, hands the branch back, deletes it. Production stays as it is throughout.
//
// Reads from the environment: LINK, and what support.mjs reads.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { accept, browser, errors, git, invite, kubectl, look, screenshot, setUp, until, visitor } from "./support.mjs";

const { CLONE, LINK } = process.env;
const COPY = "jane-production";
const BRANCH = "jane/brighter";
const admin = await visitor();
const tab = (page, name) => page.getByRole("navigation", { name: "Views" }).getByRole("link", { name }).click();

// Jane is invited as a developer, and joins in a browser of her own.
await setUp(admin, LINK, "ada", "correct horse battery");
const invitation = await invite(admin, "jane");
const jane = await visitor();
await accept(jane, invitation, "another horse battery");

// Production is there, healthy; she may copy it, and may not suspend or delete it.
await jane.getByRole("link", { name: "production" }).click();
await jane.locator(".states").getByText("Healthy").waitFor();
await jane.getByRole("button", { name: "Make a copy" }).waitFor();
for (const name of ["Suspend", "Delete…"]) {
  assert.equal(await jane.getByRole("button", { name }).count(), 0, `a developer does not see ${name} on production`);
}
await jane.getByRole("link", { name: /^Open shop\.localhost/ }).waitFor();

// What it would be called is shown before it is made; a name that cannot be is refused while it is typed.
await jane.getByRole("button", { name: "Make a copy" }).click();
const dialog = jane.getByRole("dialog");
const make = dialog.getByRole("button", { name: "Make it" });
assert.equal(await dialog.getByLabel("Name").inputValue(), COPY);
await dialog.getByText(`shop.${COPY}.localhost`).waitFor();
await look("copy-make", jane);
await dialog.getByLabel("Name").fill("No Name");
await dialog.getByRole("alert").getByText("Only small letters").waitFor();
assert.ok(await make.isDisabled(), "a name that is none makes nothing");
await dialog.getByLabel("Name").fill("jane-other");
await dialog.getByText("shop.jane-other.localhost").waitFor();
await dialog.getByLabel("catalog").uncheck();
await dialog.getByRole("alert").waitFor();
await look("copy-refused", jane);
await dialog.getByLabel("catalog").check();
await dialog.getByLabel("Name").fill(COPY);
await dialog.getByText(`shop.${COPY}.localhost`).waitFor();
await dialog.getByLabel("How long to keep it").selectOption({ label: "1 day" });
await make.click();

// Its timeline runs, up to the healthy end.
await jane.getByRole("heading", { name: COPY }).waitFor();
await jane.getByRole("list", { name: "Steps" }).getByText("Apply web").waitFor();
await jane.getByRole("main").getByRole("status").getByText("Succeeded").waitFor();
await jane.locator(".states").getByText("Healthy").waitFor();
const strip = jane.getByRole("region", { name: "Copy" });
await strip.getByText("seaway/production").waitFor();
await strip.getByText("It is deleted in 24 h").waitFor();
await strip.getByText("Namespaces and hosts").click();
await look("copy", jane);

// It is kept for a week longer.
await strip.getByRole("button", { name: "Keep longer…" }).click();
await look("copy-keep", jane);
await dialog.getByRole("button", { name: "Keep it" }).click();
await strip.getByText("It is deleted in 8 days").waitFor();

// The shop itself.
const shop = await jane.context().newPage();
const address = await jane.getByRole("link", { name: `Open shop.${COPY}.localhost` }).getAttribute("href");
const production = address.replace(`shop.${COPY}.localhost`, "shop.localhost");
const read = async (url) => {
  await shop.goto(url);
  return shop.textContent("body");
};
const version = async (url) => (await read(url)).match(/\b\d+\.\d+\b/)?.[0];
const before = await version(address);
assert.ok(before, "the shop of the copy says its version");
assert.equal(before, await version(production));
await screenshot("copy-shop", shop);

// One component runs a branch.
const file = "overlays/production/web/kustomization.yaml";
const push = (from, to, message) => {
  const text = readFileSync(join(CLONE, file), "utf8");
  assert.ok(text.includes(from), `${file} has ${from}`);
  writeFileSync(join(CLONE, file), text.replace(from, to));
  git("commit", "--quiet", "-a", "-m", message);
  git("push", "--quiet", "origin", `HEAD:${BRANCH}`);
};
git("switch", "--quiet", "-c", BRANCH);
push(`newTag: "${before}"`, 'newTag: "2.0"', "Let production have the new shop");
await tab(jane, "Overrides");
await jane.getByText("Every component runs what seaway/production runs").waitFor();
await jane.getByRole("combobox", { name: "Component" }).selectOption("web");
await jane.getByLabel("Branch, tag or commit").fill("no/such/branch");
await jane.getByRole("button", { name: "Override", exact: true }).click();
await jane.getByRole("alert").getByText("no/such/branch").waitFor();
await look("override-refused", jane);
await jane.getByLabel("Branch, tag or commit").fill(BRANCH);
await jane.getByLabel("Reason (optional)").fill("to see the new shop");
await jane.getByRole("button", { name: "Override", exact: true }).click();
const row = jane.getByRole("row", { name: /web/ });
await row.getByText("to see the new shop").waitFor();
await until("the copy runs the branch", async () => (await version(address)) === "2.0");
assert.equal(await version(production), before, "production runs what it ran");
await look("overrides", jane);

// Nothing differs but for a reason, and the override is one.
await tab(jane, "Fidelity");
const figures = jane.locator(".figures > div");
await figures.filter({ hasText: "Undeclared" }).getByText("0", { exact: true }).waitFor();
await jane.getByLabel("Why they differ").selectOption("override");
const difference = jane.getByRole("list", { name: "Differences" }).getByRole("listitem").filter({ hasText: "Deployment" });
await difference.locator("summary").click();
await difference.getByText("override").first().waitFor();
await difference.getByText("shop:2.0").first().waitFor();
await look("fidelity", jane);
await jane.getByLabel("Compared with").selectOption("seaway/staging");
await jane.getByText("in seaway/staging").waitFor();
await jane.getByText(/\d+ fields differ/).waitFor();
await look("fidelity-other", jane);

// Thousands of differences are shown a part at a time.
await jane.route("**/fidelity?*", async (route) => {
  const response = await route.fetch();
  const view = await response.json();
  const object = (name) => ({ group: "apps", version: "v1", kind: "Deployment", namespace: `${COPY}-shop`, name });
  view.differences = Array.from({ length: 5000 }, (_, index) => ({
    object: object(`many-${index < 3000 ? 0 : index % 400}`), path: `.spec.field${index}`, rule: "", class: "undeclared",
    left: index, right: index + 1,
  }));
  await route.fulfill({ response, json: view });
});
await jane.getByLabel("Compared with").selectOption("seaway/production");
const many = jane.getByRole("list", { name: "Differences" });
await many.getByText("many-0").waitFor();
assert.equal(await many.getByRole("listitem").count(), 50);
await many.locator("summary").first().click();
await many.getByRole("button", { name: "Show 100 more of 2905" }).click();
await many.getByText(".spec.field199").waitFor();
await jane.getByRole("button", { name: "Show 50 more of 350" }).click();
assert.equal(await many.getByRole("listitem").count(), 100);
await jane.unroute("**/fidelity?*");

// What is pushed to the branch goes live in the copy, and nowhere else.
push("SHOP_ENVIRONMENT=production", "SHOP_ENVIRONMENT=production\n  - SHOP_TITLE=Brighter Shop", "Give it a name");
await until("the push is live", async () => (await read(address)).includes("Brighter Shop"));
assert.ok(!(await read(production)).includes("Brighter Shop"), "production has the old title");

// It is handed back: a branch that waits to be merged, with what it would change.
await tab(jane, "Overrides");
await jane.getByRole("button", { name: "Propose…" }).click();
await dialog.getByLabel("What the commit says (optional)").fill("A brighter shop\n\nPeople like it.");
await look("propose", jane);
await dialog.getByRole("button", { name: "Propose" }).click();
const proposal = jane.getByRole("region", { name: "Proposal" });
const proposed = `seaway/seaway-jane/${COPY}/web`;
await proposal.getByText(proposed).first().waitFor();
await proposal.getByRole("region", { name: "In production" }).getByText("Deployment").first().waitFor();
await look("proposed", jane);
await row.getByText("waits to be merged").waitFor();
git("fetch", "--quiet", "origin");
assert.match(git("log", "-1", "--format=%an %s", `origin/${proposed}`), /jane A brighter shop/);
assert.equal(await version(production), before, "a proposal changes nothing that runs");

// The lists, also on a tablet.
const overflows = () => jane.evaluate(() =>
  [document.documentElement, ...document.querySelectorAll(".scroll")].filter((one) => one.scrollWidth > one.clientWidth).length);
await look("copy-page", jane);
await jane.setViewportSize({ width: 768, height: 1024 });
assert.equal(await overflows(), 0, "the overrides fit a tablet");
await look("overrides-tablet", jane);
await tab(jane, "Fidelity");
await jane.getByRole("list", { name: "Differences" }).waitFor();
assert.equal(await overflows(), 0, "the comparison fits a tablet");
await look("fidelity-tablet", jane);
await jane.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Environments" }).click();
await jane.getByRole("link", { name: COPY }).waitFor();
await jane.getByText("jane · deleted in 8 days").waitFor();
await jane.getByLabel("Class").selectOption("personal");
await jane.getByRole("link", { name: "production", exact: true }).waitFor({ state: "detached" });
await jane.getByLabel("Class").selectOption("all classes");
await jane.getByRole("link", { name: "production", exact: true }).waitFor();
assert.equal(await overflows(), 0, "the list fits a tablet");
await look("environments-tablet", jane);
await jane.setViewportSize({ width: 1280, height: 800 });
await look("environments", jane);

// What copies ask for, and for how long: Jane sees her own, operations see everybody's.
for (const [page, shot] of [[jane, "copies-own"], [admin, "copies-all"]]) {
  await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Copies" }).click();
  const copies = page.getByRole("table", { name: "Copies" });
  await copies.getByRole("row").filter({ hasText: COPY }).getByText("in 8 days").waitFor();
  await page.getByRole("table", { name: "By person" }).getByRole("row").filter({ hasText: "jane" }).getByText("1 copy").waitFor();
  await look(shot, page);
}
await jane.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Environments" }).click();

// The override ends, and then the copy.
await jane.getByRole("link", { name: COPY }).click();
await tab(jane, "Overrides");
await jane.getByRole("button", { name: "End the override of web" }).click();
await row.waitFor({ state: "detached" });
await until("the copy runs what production runs", async () => (await version(address)) === before);
await jane.getByRole("button", { name: "Delete…" }).click();
await look("copy-delete", jane);
await dialog.getByRole("button", { name: "Delete" }).click();
await jane.getByRole("heading", { name: "Environments" }).waitFor();
await jane.getByLabel("Class").selectOption("personal");
await jane.getByText("No environment matches").waitFor();
assert.equal(kubectl("get", "namespace", `${COPY}-shop`, "--ignore-not-found"), "", "its namespace is gone");
assert.deepEqual(errors, [], "nothing went wrong in the browser");
await browser.close();
