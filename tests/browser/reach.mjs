// Everything is reached without a mouse: by keyboard alone, and by touch alone on a tablet.
//
// Reads from the environment: LINK, and what support.mjs reads.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as support from "./support.mjs";

const { browser, errors, inView, look, setUp, until, visitor } = support;
const page = await visitor();
await setUp(page, process.env.LINK, "ada", "correct horse battery");
for (const name of ["production", "staging"]) {
  const row = page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
  await row.getByText("Healthy").waitFor();
}

// By keyboard.
const { keyboard } = page;
const has = (place) => place.evaluate((element) => element === document.activeElement);
const arrives = (what, place) => until(`the focus is on ${what}`, () => has(place));
/** Presses a key until something has the focus. */
async function to(place, key = "Tab") {
  await place.waitFor();
  for (let pressed = 0; !(await has(place)); pressed++) {
    assert.ok(pressed < 100, `${place} is reached with ${key}`);
    await keyboard.press(key);
  }
}

// Past the bar above with the first link.
await page.reload();
await page.getByRole("link", { name: "staging", exact: true }).waitFor();
await to(page.getByRole("link", { name: "Skip to content" }));
await keyboard.press("Enter");
await arrives("the content", page.locator("#content"));

// Filtered by typing, and into an environment: its page says what it is, and one arrives in it.
await to(page.getByRole("searchbox", { name: "Filter environments" }));
await keyboard.type("stag");
await page.getByRole("link", { name: "production", exact: true }).waitFor({ state: "detached" });
assert.equal(await page.title(), "Environments – Seaway");
await to(page.getByRole("link", { name: "staging", exact: true }));
await keyboard.press("Enter");
await page.getByRole("heading", { name: "staging" }).waitFor();
await arrives("the content", page.locator("#content"));
assert.equal(await page.title(), "staging · Tree – Seaway");

// Through the tree, into an object and back.
const items = page.getByRole("treeitem");
await items.filter({ hasText: "Pod" }).first().waitFor();
await to(items.first());
await keyboard.press("ArrowLeft");
await until("the component is closed", async () => (await items.first().getAttribute("aria-expanded")) === "false");
await keyboard.press("ArrowRight");
await until("the component is open", async () => (await items.first().getAttribute("aria-expanded")) === "true");
await keyboard.press("ArrowRight");
await arrives("its first object", items.nth(1));
await keyboard.press("ArrowDown");
await arrives("the next row", items.nth(2));
await keyboard.press("Home");
await arrives("the first row", items.first());
await keyboard.press("End");
await arrives("the last row", items.last());
const last = items.last();
const name = await last.locator(".name").textContent();
await keyboard.press("Enter");
const heading = page.getByRole("heading", { name });
await arrives("what was chosen", heading);
await until("what was chosen is in view", () => inView(heading));
await keyboard.press("Escape");
await heading.waitFor({ state: "detached" });
await arrives("the row that it was opened from", last);

// From view to view.
const views = page.getByRole("navigation", { name: "Views" });
await to(views.getByRole("link", { name: "History" }), "Shift+Tab");
await keyboard.press("Enter");
await page.getByText("runs now").waitFor();
await arrives("the view", page.locator("#view"));
assert.equal(await page.title(), "staging · History – Seaway");

// A dialog keeps the focus, and gives it back.
const back = page.getByRole("button", { name: "Roll back…" });
await to(back, "Shift+Tab");
await keyboard.press("Enter");
const dialog = page.getByRole("dialog");
await to(dialog.getByLabel("Reason (optional)"));
await keyboard.press("Escape");
await dialog.waitFor({ state: "detached" });
await arrives("what opened the dialog", back);

// By touch, upright: each view, none wider than the tablet, nothing too small for a finger.
const tablet = await visitor({ width: 768, height: 1024, hasTouch: true });
await tablet.context().addCookies(await page.context().cookies());
const fits = () => tablet.evaluate(() =>
  [document.documentElement, ...document.querySelectorAll(".scroll")].every((one) => one.scrollWidth <= one.clientWidth));
async function see(view) {
  assert.ok(await fits(), `${view} fits a tablet`);
  await look(`tablet-${view}`, tablet);
}
await tablet.goto(new URL(process.env.LINK).origin);
// The row is as good as the name in it.
const row = tablet.getByRole("row").filter({ has: tablet.getByRole("link", { name: "production", exact: true }) });
await row.getByText("Healthy").waitFor();
await see("list");
const { x, y, width, height } = await row.getByText("Healthy").boundingBox();
await tablet.touchscreen.tap(x + width / 2, y + height / 2);
await tablet.getByRole("heading", { name: "production" }).waitFor();
await tablet.locator(".states").getByText("Healthy").waitFor();
const rows = tablet.getByRole("treeitem");
await rows.filter({ hasText: "Pod" }).first().waitFor();
await see("tree");
await rows.last().tap();
const panel = tablet.getByRole("region", { name: await rows.last().locator(".name").textContent() });
await until("what was chosen is in view", () => inView(panel.getByRole("heading").first()));
await panel.getByText("As it is").tap();
await panel.getByRole("region", { name: "Manifest as it is" }).getByText("kind: ").waitFor();
await see("object");
await panel.getByRole("button", { name: "Close details" }).tap();
await panel.waitFor({ state: "detached" });
await until("one is back at the row", () => inView(rows.last()));
await rows.first().locator(".twist").tap();
await until("a component is closed", async () => (await rows.first().getAttribute("aria-expanded")) === "false");
const shown = {
  Timeline: () => tablet.getByRole("list", { name: "Steps" }).getByText("Apply web").waitFor(),
  History: () => tablet.getByText("runs now").waitFor(),
  Traffic: () => tablet.getByRole("figure").first().waitFor(),
  Plan: () => tablet.getByLabel("Branch, tag or commit").waitFor(),
  Fidelity: () => tablet.getByLabel("Compared with").waitFor(),
  Logs: () => tablet.getByRole("log").locator("div").first().waitFor(),
};
for (const [view, is] of Object.entries(shown)) {
  await tablet.getByRole("navigation", { name: "Views" }).getByRole("link", { name: view }).tap();
  await is();
  await see(view.toLowerCase());
}
await tablet.getByRole("button", { name: "Roll back…" }).tap();
await tablet.getByRole("dialog").getByRole("button", { name: "Cancel" }).waitFor();
await see("dialog");
await tablet.getByRole("dialog").getByRole("button", { name: "Cancel" }).tap();
const main = tablet.getByRole("navigation", { name: "Main" });
for (const [place, title] of [["Copies", "Copies"], ["People", "People"], ["Audit", "Audit"]]) {
  await main.getByRole("link", { name: place }).tap();
  await tablet.getByRole("heading", { name: title, exact: true }).waitFor();
  await tablet.locator("main table, main form, main p").first().waitFor();
  await see(place.toLowerCase());
}
await tablet.getByRole("button", { name: "Show", exact: true }).first().tap();
await tablet.getByRole("button", { name: "Hide", exact: true }).waitFor();
await see("audit-details");
const download = tablet.waitForEvent("download");
await tablet.getByRole("link", { name: "Export as JSON lines" }).tap();
const exported = readFileSync(await (await download).path(), "utf8").trim().split("\n").map((line) => JSON.parse(line));
assert.ok(exported.some((event) => event.action === "session.setup" && event.actor === "ada"), "the audit is exported");
await tablet.getByRole("link", { name: "ada" }).tap();
await tablet.getByRole("button", { name: "Make a token" }).waitFor();
await see("tokens");

// An address that leads nowhere: said once, with a way on.
await tablet.goto(`${new URL(process.env.LINK).origin}/environments/seaway/nothere`);
await tablet.getByRole("alert").getByText("There is no environment nothere").waitFor();
assert.equal(await tablet.getByRole("alert").count(), 1, "once");
assert.equal(await tablet.getByRole("navigation", { name: "Views" }).count(), 0, "no views of nothing");
await see("nothere");
await tablet.getByRole("link", { name: "All environments" }).tap();
await tablet.getByRole("link", { name: "production", exact: true }).waitFor();

assert.deepEqual(errors, [], "nothing went wrong in the browser");
await browser.close();
