// People with less: what a viewer may not do is neither shown nor allowed; a grant, an access token, the audit; the page
// comes back when the server does; all of it on a tablet.
//
// Reads from the environment: LINK, and what support.mjs reads. `restart` on standard output asks for the server to be
// killed and started again; a line on standard input says that this was done.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import * as support from "./support.mjs";

const { accept, browser, errors, look, setUp, visitor } = support;
const origin = new URL(process.env.LINK).origin;
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const staging = `${origin}/environments/seaway/staging`;
const ACTIONS = ["Sync now", "Roll back…", "Suspend", "Resume", "Delete…"];

const admin = await visitor({ width: 820, height: 1180, hasTouch: true });
await setUp(admin, process.env.LINK, "ada", "correct horse battery");
await admin.getByRole("link", { name: "staging" }).waitFor();

// Somebody who only looks.
await admin.getByRole("link", { name: "People" }).tap();
await admin.getByLabel("Name").fill("vera");
await admin.getByRole("combobox", { name: "Role" }).selectOption("viewer");
await admin.getByRole("button", { name: "Invite" }).tap();
await admin.getByRole("row", { name: /vera/ }).getByText("Invited").waitFor();
const link = await admin.getByRole("textbox", { name: "Link" }).inputValue();
await look("people-tablet", admin);
const viewer = await visitor();
await accept(viewer, link, "another horse battery");
await viewer.goto(staging);
await viewer.locator(".states").getByText("Healthy").waitFor();
await viewer.getByRole("treeitem").first().waitFor();
const asked = (page, method, path, body) =>
  page.evaluate(async ([method, path, body]) => {
    const headers = { "X-Seaway-CSRF": "1" };
    return (await fetch(path, { method, headers, body: body && JSON.stringify(body) })).status;
  }, [method, path, body]);
const rights = await viewer.evaluate(async () => (await fetch("/api/v1/environments/seaway/staging/rights")).json());
assert.deepEqual(rights, { sync: false, rollback: false, hold: false, update: false, delete: false });
for (const name of ACTIONS) assert.equal(await viewer.getByRole("button", { name }).count(), 0, `a viewer sees no ${name}`);
for (const name of ["People", "Audit"]) assert.equal(await viewer.getByRole("link", { name }).count(), 0, name);
for (const action of ["sync", "cancel", "rollback", "hold", "suspend", "resume"]) {
  assert.equal(await asked(viewer, "POST", `/api/v1/environments/seaway/staging/${action}`), 403, action);
}
assert.equal(await asked(viewer, "DELETE", "/api/v1/environments/seaway/staging"), 403);
assert.equal(await asked(viewer, "GET", "/api/v1/audit"), 403);
await look("viewer", viewer);

// A grant counts at once, where it was given and nowhere else.
await admin.getByRole("button", { name: "Change the role of vera" }).tap();
await admin.getByRole("dialog").getByRole("textbox", { name: "Grants" }).fill("developer:shop/staging");
await look("role", admin);
await admin.getByRole("dialog").getByRole("button", { name: "Change" }).tap();
await admin.getByRole("row", { name: /vera/ }).getByText("developer:shop/staging").waitFor();
await viewer.reload();
await viewer.getByRole("button", { name: "Sync now" }).waitFor();
assert.equal(await viewer.getByRole("button", { name: "Suspend" }).count(), 0);
await viewer.goto(`${origin}/environments/seaway/production`);
await viewer.locator(".states").getByText("Healthy").waitFor();
assert.equal(await asked(viewer, "POST", "/api/v1/environments/seaway/production/sync"), 403);

// An access token of hers: shown once, good, and then revoked.
await viewer.getByRole("link", { name: "vera" }).click();
await viewer.getByRole("textbox", { name: "Name" }).fill("dashboard");
await viewer.getByRole("button", { name: "Make a token" }).click();
const token = await viewer.getByRole("textbox", { name: "Token" }).inputValue();
await look("tokens", viewer);
const bearing = async () =>
  (await fetch(`${origin}/api/v1/environments`, { headers: { authorization: `Bearer ${token}` } })).status;
assert.equal(await bearing(), 200);
await viewer.getByRole("button", { name: "Revoke dashboard" }).click();
await viewer.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
await viewer.getByText("You have no token.").waitFor();
assert.equal(await bearing(), 401);

// What she tried is in the audit.
await admin.getByRole("link", { name: "Audit" }).tap();
await admin.getByRole("combobox", { name: "Outcome" }).selectOption("denied");
await admin.getByRole("row", { name: /vera.*environment\.delete.*denied/ }).waitFor();
await look("audit", admin);

// The server goes away and comes back; the page says so, and goes on by itself.
await admin.goto(staging);
await admin.locator(".states").getByText("Healthy").waitFor();
console.log("restart");
await admin.getByText("The connection to the server is lost").waitFor();
await input.next();
await admin.getByText("The connection to the server is lost").waitFor({ state: "detached" });
await admin.getByRole("button", { name: "Suspend" }).tap();
await admin.getByRole("button", { name: "Resume" }).waitFor();
await look("tablet", admin);
const wide = await admin.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
assert.equal(wide, false, "nothing runs out of a tablet's page");

assert.deepEqual(errors, [], "nothing went wrong in the browser");
await browser.close();
process.exit(0);
