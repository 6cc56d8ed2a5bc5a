// What a newcomer does in the first minutes, in a real browser: logs in with the printed link, watches the shop come
// up, looks into it, sees drift, merges a change and goes back. Each view is also checked for accessibility.
//
// Reads from the environment: LINK, and what support.mjs reads.
import assert from "node:assert/strict";
import * as support from "./support.mjs";

const { accept, browser, errors, git, inView, invite, kubectl, screenshot, setUp, until, visitor } = support;
const page = await visitor();
const context = page.context();
page.on("console", (message) => {
  // Before the login the page asks who is there, and is told: nobody.
  if (message.type() === "error" && !message.text().includes("401")) errors.push(message.text());
});
const look = (name, at = page) => support.look(name, at);
const tab = (name) => page.getByRole("navigation", { name: "Views" }).getByRole("link", { name }).click();

// Log in.
await setUp(page, process.env.LINK, "ada", "correct horse battery");

// Both environments come up, step by step.
await page.getByRole("link", { name: "production" }).waitFor();
await page.getByRole("link", { name: "staging" }).click();
await tab("Timeline");
const steps = page.getByRole("list", { name: "Steps" });
await steps.getByText("Fetch web").waitFor();
await steps.getByText("Apply web").waitFor();
await page.getByRole("main").getByRole("status").getByText("Succeeded").waitFor();
await steps.getByText("Deployment web").waitFor();
await look("timeline");
const production = await context.newPage();
await production.goto(`${new URL(process.env.LINK).origin}/environments/seaway/production/timeline`);
const live = production.getByRole("list", { name: "Steps" });
await production.getByRole("main").getByRole("status").getByText("Succeeded").waitFor();
for (const step of ["Fetch web", "Render web", "Compare with the cluster", "Apply web", "HTTPRoute web"]) {
  await live.getByText(step).first().waitFor();
}
await production.close();

// Its objects, down to the pods; one of them in detail.
await tab("Tree");
await page.getByRole("treeitem").filter({ hasText: "Pod" }).first().waitFor();
await page.locator(".states").getByText("Healthy").waitFor();
await look("tree");
await page.getByRole("treeitem").filter({ hasText: "Deployment web" }).first().click();
const panel = page.getByRole("region", { name: "Deployment web" });
await panel.getByText("As Git says").click();
await panel.getByText("kind: Deployment").first().waitFor();
await look("object");
// Also far down, what is chosen is seen.
const far = page.getByRole("treeitem").last();
await far.click();
const chosen = page.getByRole("region", { name: await far.locator(".name").textContent() });
await chosen.getByText("As it is").waitFor();
await until("what is chosen is in view", () => inView(chosen.getByRole("heading").first()));
await until("and so is what it was chosen from", () => inView(far));

// The shop itself.
const shop = await context.newPage();
const address = await page.getByRole("link", { name: /^Open / }).first().getAttribute("href");
const version = async () => {
  await shop.goto(address);
  return (await shop.textContent("body")).match(/\b\d+\.\d+\b/)?.[0];
};
const before = await version();
assert.ok(before, "the shop says its version");
await screenshot("shop", shop);

// Logs.
await tab("Logs");
await page.getByRole("log").locator("div").first().waitFor();
await look("logs");

// What a branch would change; nothing is changed by looking.
await tab("Plan");
await page.getByLabel("Branch, tag or commit").fill("redesign");
await page.getByRole("button", { name: "Show plan" }).click();
await page.getByText("would change").waitFor();
await look("plan");

// Drift: seen and attributed while suspended, reverted afterwards.
await page.getByRole("button", { name: "Suspend" }).click();
await page.getByRole("button", { name: "Resume" }).waitFor();
kubectl("-n", "shop-staging", "scale", "deployment/web", "--replicas=3");
const drift = page.getByRole("region", { name: "Drift" });
await drift.getByText(".spec.replicas").waitFor();
await drift.getByText("kubectl").waitFor();
assert.equal(await page.getByText(/was changed by kubectl/).count(), 0, "it is said once");
await look("drift");
// Among many, those that are not as Git says are found.
await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Environments" }).click();
await page.getByRole("combobox", { name: "Sync" }).selectOption({ label: "Out of sync" });
await page.getByRole("link", { name: "production", exact: true }).waitFor({ state: "detached" });
await page.getByRole("link", { name: "staging", exact: true }).click();
await page.getByRole("button", { name: "Resume" }).click();
await drift.waitFor({ state: "detached" });
await tab("History");
await page.getByText("drift reverted").first().waitFor();

// A change goes out, and back.
git("merge", "--quiet", "--no-edit", "origin/redesign");
git("push", "--quiet", "origin", "HEAD:main");
await until("the new version is out", async () => (await version()) !== before);
await page.locator(".states").getByText("Synced", { exact: false }).waitFor();
await look("history");
await page.getByRole("button", { name: "Roll back…" }).click();
await page.getByLabel("Reason (optional)").fill("the old one was nicer");
await page.getByRole("dialog").getByRole("button", { name: "Roll back" }).click();
await page.getByText("the old one was nicer").first().waitFor();
await until("the old version is back", async () => (await version()) === before);
await page.getByText("runs now").waitFor();
assert.equal(await page.getByText("runs now").count(), 1, "one thing runs");
await look("held");

// Its timeline names what was passed over and why, and what was taken.
const commit = (revision) => git("rev-parse", "--short=8", revision).trim();
const bad = commit("HEAD");
await tab("Timeline");
await steps.getByText(/Take .* instead/).waitFor();
const instead = page.getByRole("listitem").filter({ hasText: /Take .* instead/ });
await instead.getByText(`${bad} is held by ada: the old one was nicer`).waitFor();
const taken = /\(([0-9a-f]{8})\) instead/.exec(await instead.textContent())[1];
assert.notEqual(taken, bad);
await steps.getByText(`Render web at ${taken}`).waitFor();
await look("timeline-rollback");

// The hold is lifted, and another release is held for a reason.
await page.getByRole("button", { name: "Suspend" }).click();
await page.getByRole("button", { name: "Resume" }).waitFor();
await tab("History");
await page.getByRole("button", { name: "Lift hold" }).first().click();
await page.getByText(/is held by ada/).first().waitFor({ state: "detached" });
await page.getByRole("button", { name: "Lift hold" }).waitFor({ state: "detached" });
const held = page.getByRole("listitem").filter({ has: page.getByRole("button", { name: "Hold…" }) }).filter({ hasText: bad });
await held.first().getByRole("button", { name: "Hold…" }).click();
await page.getByRole("dialog").getByLabel("Reason (optional)").fill("until the colours are agreed");
await look("hold");
await page.getByRole("dialog").getByRole("button", { name: "Hold" }).click();
await page.getByText("is held by ada").getByText("until the colours are agreed").waitFor();
await page.getByRole("button", { name: "Lift hold" }).first().waitFor();
await page.getByRole("button", { name: "Resume" }).click();
await page.getByRole("button", { name: "Suspend" }).waitFor();

// Somebody else is invited, joins with the link, sees what runs, and may not add people.
const invitation = await invite(page, "grace");
await page.getByRole("row", { name: /ada/ }).getByText("Active").waitFor();
await look("people");
const guest = await visitor();
await accept(guest, invitation, "another horse battery");
await guest.getByText("grace").waitFor();
assert.equal(await guest.getByRole("link", { name: "People" }).count(), 0, "a developer adds nobody");
await guest.context().close();
await page.getByRole("button", { name: "Delete grace" }).click();
await page.getByRole("dialog").getByText("logged out everywhere").waitFor();
await look("delete-account");
await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
await page.getByRole("row", { name: /grace/ }).waitFor({ state: "detached" });

// Out and in again.
await page.getByRole("button", { name: "Log out" }).click();
await page.getByRole("heading", { name: "Log in to Seaway" }).waitFor();
await page.getByLabel("Name").fill("ada");
await page.getByLabel("Password").fill("correct horse battery");
await page.getByRole("button", { name: "Log in" }).click();
await page.getByRole("link", { name: "staging" }).waitFor();
assert.deepEqual(errors, [], "nothing went wrong in the browser");
await browser.close();
