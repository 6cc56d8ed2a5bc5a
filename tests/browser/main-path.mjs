// What a newcomer does in the first minutes, in a real browser: logs in with the printed link, watches the shop come
// up, looks into it, sees drift, merges a change and goes back. Each view is also checked for accessibility.
//
// Reads from the environment: LINK, and what support.mjs reads.
import assert from "node:assert/strict";
import * as support from "./support.mjs";

const { accept, browser, errors, git, invite, kubectl, screenshot, setUp, until, visitor } = support;
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
await look("drift");
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
await look("held");

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
