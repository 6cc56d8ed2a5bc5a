// Logging in at a provider of OpenID Connect as people do: with the button of the login page, in a real browser.
//
// Reads from the environment: SERVER (its URL), ISSUER (that of the provider), and what support.mjs reads.
import assert from "node:assert/strict";
import { browser, errors, look, visitor } from "./support.mjs";

const { SERVER, ISSUER } = process.env;
const wanted = `${SERVER}/environments/seaway/staging/history`;

/** From a page that wants a login, through the provider, to wherever that leads. */
async function login(name) {
  const page = await visitor();
  page.on("console", (message) => {
    // Before the login the page asks who is there, and is told: nobody; nor is there an environment yet.
    if (message.type() === "error" && !/\b(401|404)\b/.test(message.text()) && page.url().startsWith(SERVER)) errors.push(message.text());
  });
  await page.goto(wanted);
  await page.getByRole("heading", { name: "Log in to Seaway" }).waitFor();
  const button = page.getByRole("link", { name: /^Log in with / });
  await button.waitFor();
  await page.getByText(/^Seaway \d/).waitFor();
  await look(`login-${name}`, page);
  await button.click();
  await page.waitForURL((url) => url.origin === new URL(ISSUER).origin);
  await page.locator("input[name=login]").fill(name);
  await page.locator("input[name=password]").fill("any");
  await page.locator("button[type=submit]").click();
  // The provider asks whether Seaway may know who it is.
  await page.getByRole("button", { name: "Continue" }).click();
  await page.waitForURL((url) => url.origin === new URL(SERVER).origin);
  return page;
}

// Whoever has a role lands where he wanted to go, and is logged in.
const jane = await login("jane");
await jane.getByRole("link", { name: "jane", exact: true }).waitFor();
assert.equal(jane.url(), wanted);
await jane.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Environments" }).click();
await jane.getByText("There is no environment yet").waitFor();
const session = await jane.evaluate(async () => (await fetch("/api/v1/session")).json());
assert.deepEqual([session.user, session.method], ["jane", "oidc"]);
const cookies = await jane.context().cookies(SERVER);
assert.ok(cookies.length > 0 && cookies.every((cookie) => cookie.httpOnly), "no script reads a cookie");
await jane.reload();
await jane.getByRole("link", { name: "jane", exact: true }).waitFor();
await jane.getByRole("button", { name: "Log out" }).click();
await jane.getByRole("heading", { name: "Log in to Seaway" }).waitFor();

// Whoever has none is told so.
const eve = await login("eve");
await eve.getByRole("alert").getByText("None of your groups has a role here").waitFor();
await look("login-failed", eve);
assert.equal(await eve.evaluate(async () => (await fetch("/api/v1/session")).status), 401);

assert.deepEqual(errors, [], "nothing went wrong in the browser");
await browser.close();
