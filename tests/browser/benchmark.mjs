// How fast the page is: the largest contentful paint of a first and of a later visit, and the way of a change to the
// screen while 50 pages are open and 100 changes happen in a second.
//
// Reads from the environment: LINK, and what support.mjs reads.
import assert from "node:assert/strict";
import * as support from "./support.mjs";

const { browser, setUp, visitor } = support;
const PAGES = 50;
const CHANGES = 1_000;
const EVERY = 10;
const { origin } = new URL(process.env.LINK);
const percentile = (numbers, part) => [...numbers].sort((a, b) => a - b)[Math.min(numbers.length - 1, Math.floor(numbers.length * part))];
const milliseconds = (number) => `${Math.round(number)} ms`;

const page = await visitor();
await setUp(page, process.env.LINK, "ada", "correct horse battery");
await page.getByRole("link", { name: "production" }).waitFor();
const state = await page.context().storageState();
for (const name of ["production", "staging"]) {
  const row = page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
  await row.getByText("Healthy").waitFor();
}

/** Milliseconds from the request to the largest thing that is to be seen. */
async function paint(at, path, shown) {
  await at.goto(`${origin}${path}`);
  await shown(at).waitFor();
  return at.evaluate(() => new Promise((resolve) => {
    let last = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) last = entry.startTime;
    }).observe({ type: "largest-contentful-paint", buffered: true });
    setTimeout(() => resolve(last), 500);
  }));
}

console.log("| largest contentful paint, 10 visits each | median | worst |\n|---|---|---|");
for (const [what, path, shown] of [
  ["list of environments", "/", (at) => at.getByRole("link", { name: "production" })],
  ["an environment's tree", "/environments/seaway/staging", (at) => at.getByRole("treeitem").first()],
]) {
  const first = [];
  const later = [];
  for (let visit = 0; visit < 10; visit++) {
    const context = await browser.newContext({ storageState: state });
    const at = await context.newPage();
    first.push(await paint(at, path, shown));
    later.push(await paint(at, path, shown));
    await context.close();
  }
  assert.ok([...first, ...later].every((number) => number > 0), "every visit painted something");
  for (const [visits, numbers] of [["first", first], ["later", later]]) {
    console.log(`| ${what}, ${visits} | ${milliseconds(percentile(numbers, 0.5))} | ${milliseconds(Math.max(...numbers))} |`);
  }
}

// The other pages listen as a page does: each asks again for what it shows, at the same pace.
const cookie = state.cookies.map(({ name, value }) => `${name}=${value}`).join("; ");
const headers = { cookie, "x-seaway-csrf": "1", "content-type": "application/json" };
const ended = new AbortController();
let told = 0;
async function listen() {
  const stream = await fetch(`${origin}/api/v1/events`, { headers, signal: ended.signal });
  assert.equal(stream.status, 200);
  let asked = false;
  for await (const _ of stream.body) {
    told += 1;
    if (asked) continue;
    asked = true;
    setTimeout(async () => {
      asked = false;
      const list = await fetch(`${origin}/api/v1/environments?limit=1`, { headers, signal: ended.signal });
      await list.arrayBuffer();
    }, 150);
  }
}
const listeners = Array.from({ length: PAGES - 1 }, () => listen().catch((error) => ended.signal.aborted || console.error(error)));

await page.goto(`${origin}/environments/seaway/staging`);
await page.getByRole("treeitem").first().waitFor();
await page.evaluate(() => {
  window.seen = [];
  let last = -1;
  new MutationObserver(() => {
    const number = Number(/change-([0-9]+)/.exec(document.body.textContent)?.[1] ?? -1);
    if (number > last) window.seen.push([(last = number), performance.timeOrigin + performance.now()]);
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
});
const sent = [];
const answers = [];
const begun = performance.now();
for (let number = 0; number < CHANGES; number++) {
  const wait = begun + number * EVERY - performance.now();
  if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
  const hold = { method: "POST", headers, body: JSON.stringify({ reason: `change-${number}` }) };
  answers.push(fetch(`${origin}/api/v1/environments/seaway/staging/hold`, hold).then(async (answer) => {
    assert.equal(answer.status, 200, await answer.text());
    sent[number] = performance.timeOrigin + performance.now();
  }));
}
await Promise.all(answers);
const took = performance.now() - begun;
await page.getByText(`change-${CHANGES - 1}`).waitFor();
const seen = await page.evaluate(() => window.seen);
ended.abort();
await Promise.all(listeners);
const delays = sent.map((time, number) => Math.max(0, seen.find(([shown]) => shown >= number)[1] - time));
console.log(`\n| ${PAGES} open pages, ${Math.round((CHANGES * 1000) / took)} changes/s | median | p95 | worst |\n|---|---|---|---|`);
console.log(`| acknowledged change to screen | ${milliseconds(percentile(delays, 0.5))} | ${milliseconds(percentile(delays, 0.95))} | ${milliseconds(Math.max(...delays))} |`);
console.log(`${told} messages to the other pages, ${seen.length} times something new on the screen`);
await browser.close();
