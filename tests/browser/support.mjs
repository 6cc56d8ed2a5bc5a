// What the scripts share: a browser, pages whose errors count, accessibility and screenshots, git, kubectl.
//
// Reads from the environment: KUBECTL, KUBECONFIG, CLONE (of the demo's repository), CHROMIUM, SCREENSHOTS, PATIENCE.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const { KUBECTL, KUBECONFIG, CLONE, CHROMIUM, SCREENSHOTS } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** Milliseconds that anything may take. */
const PATIENCE = Number(process.env.PATIENCE ?? 120_000);

export const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

/** What went wrong in any page. */
export const errors = [];

const pages = [];

// A wait that ran out says what it waited for; this says what was to be seen in its place.
process.on("uncaughtException", async (error) => {
  console.error(error, errors);
  for (const page of pages.filter((page) => !page.isClosed())) {
    console.error(`--- ${page.url()}\n${await page.innerText("body", { timeout: 5_000 }).catch(String)}`);
  }
  process.exit(1);
});

/** A page of somebody who shares nothing with the others. */
export async function visitor({ width = 1280, height = 800, hasTouch = false } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, hasTouch });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  pages.push(page);
  page.on("pageerror", (error) => errors.push(error.message));
  return page;
}

/** Whether all of it is to be seen. */
export const inView = (place) => place.evaluate((element) => {
  const { top, bottom } = element.getBoundingClientRect();
  return top > -1 && bottom < window.innerHeight + 1;
});

export async function screenshot(name, page) {
  if (SCREENSHOTS) await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
}

/** Checks a view for accessibility, light and dark, also what axe does not ask for by itself: a title, room for fingers. */
export async function look(name, page) {
  await screenshot(name, page);
  assert.match(await page.title(), /.+ – Seaway$/, `title of ${name}`);
  // In a world of its own, so that the page's content security policy stays as it is.
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send("Page.getFrameTree");
  const { executionContextId: contextId } = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id });
  const run = (expression) => session.send("Runtime.evaluate", { expression, contextId, awaitPromise: true, returnByValue: true });
  await run(axe);
  for (const colorScheme of ["dark", "light"]) {
    await page.emulateMedia({ colorScheme });
    const { result } = await run(`axe.run({ rules: { "target-size": { enabled: true } } }).then((r) => JSON.stringify(r.violations.map((v) => v.id + ": " + v.nodes[0].html)))`);
    assert.deepEqual(JSON.parse(result.value), [], `accessibility of ${name}, ${colorScheme}`);
  }
  await session.detach();
  console.log(`ok ${name}`);
}

export const git = (...args) => execFileSync("git", ["-C", CLONE, ...args], { stdio: "pipe", encoding: "utf8" });
export const kubectl = (...args) => execFileSync(KUBECTL, ["--kubeconfig", KUBECONFIG, ...args], { stdio: "pipe", encoding: "utf8" });

export async function until(what, check) {
  const end = Date.now() + PATIENCE;
  while (!(await check())) {
    assert.ok(Date.now() < end, what);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Makes the first account from the one-time link. */
export async function setUp(page, link, name, password) {
  await page.goto(link);
  await page.getByRole("heading", { name: "Welcome to Seaway" }).waitFor();
  await look("setup", page);
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByLabel("Password again").fill(password);
  await page.getByRole("button", { name: "Create account" }).click();
}

/** Invites somebody; answers the link. */
export async function invite(page, name) {
  await page.getByRole("link", { name: "People" }).click();
  await page.getByLabel("Name").fill(name);
  await page.getByRole("button", { name: "Invite" }).click();
  await page.getByRole("row", { name: new RegExp(name) }).getByText("Invited").waitFor();
  return page.getByRole("textbox", { name: "Link" }).inputValue();
}

/** Joins with the link of an invitation. */
export async function accept(page, link, password) {
  await page.goto(link);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByLabel("Password again").fill(password);
  await look("join", page);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: "Environments" }).waitFor();
}
