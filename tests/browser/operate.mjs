// What somebody who operates an environment looks at and does: its requests with the deploys drawn in, the links of its
// stack, a sync that is cancelled, a command line that is let in, logs that go on after the connection broke off or the machine slept, a list of 10,000.
//
// Reads from the environment: LINK, SEAWAY (the program), and what support.mjs reads.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as support from "./support.mjs";

const { browser, errors, git, kubectl, look, setUp, until, visitor } = support;
const link = new URL(process.env.LINK);

// Between browser and server: it can cut connections, or let them fall silent as a sleeping machine's do.
const connections = new Set();
const between = createServer((client) => {
  const server = connect(Number(link.port), "127.0.0.1");
  const one = { client, server, silent: false };
  connections.add(one);
  client.on("data", (data) => one.silent || server.write(data));
  server.on("data", (data) => one.silent || client.write(data));
  for (const side of [client, server]) {
    side.on("error", () => {});
    side.on("close", () => {
      if (!one.silent) {
        client.destroy();
        server.destroy();
        connections.delete(one);
      }
    });
  }
});
await new Promise((resolve) => between.listen(0, "127.0.0.1", resolve));
const origin = `http://localhost:${between.address().port}`;
const staging = `${origin}/environments/seaway/staging`;

const page = await visitor();
// Time goes on as ever; below it leaps, as it does for a machine that slept.
await page.clock.install();
const tab = (name) => page.getByRole("navigation", { name: "Views" }).getByRole("link", { name }).click();
await setUp(page, `${origin}${link.pathname}${link.hash}`, "ada", "correct horse battery");

// Who deployed what when: of what came by itself it is the author of the commit.
// Its own row: another one may be about a commit for it.
const row = page.getByRole("row").filter({ has: page.getByRole("link", { name: "staging", exact: true }) });
await row.getByText("Healthy").waitFor();
await row.getByText("Jonas Weber").waitFor();
await row.getByText("Try 1.1 in staging").waitFor();
await look("list", page);

// Requests are counted, and told within seconds.
await row.getByRole("link", { name: "staging" }).click();
await page.locator(".states").getByText("Healthy").waitFor();
const shop = await page.context().newPage();
const address = await page.getByRole("link", { name: /^Open / }).first().getAttribute("href");
for (let visit = 0; visit < 5; visit++) await shop.goto(address);
await tab("Traffic");
await page.getByText("through 1 route").waitFor();
await page.getByText(/^[1-9][0-9]* requests?, 0 % failed/).waitFor();
for (const title of ["Requests per second", "Failed (5xx)", "Time to the answer"]) {
  await page.getByRole("figure").filter({ hasText: title }).getByRole("img").waitFor();
}
const moment = page.getByRole("slider", { name: "Moment" });
await moment.focus();
const before = await moment.getAttribute("aria-valuetext");
await page.keyboard.press("ArrowLeft");
await until("the keyboard moves through time", async () => (await moment.getAttribute("aria-valuetext")) !== before);
await page.getByText("As a table").click();
await page.getByRole("table", { name: /Requests/ }).getByRole("row").nth(1).waitFor();
assert.ok((await page.locator("svg .deploy").count()) >= 3, "the deploy is drawn into each chart");
await page.getByRole("region", { name: "Deploys" }).getByRole("link", { name: /^Sync / }).first().waitFor();
await look("traffic", page);

// Links of the stack, filled in for this environment.
const links = [
  { name: "Grafana", url: "https://grafana.example.com/d/shop?var-namespace={namespace}" },
  { name: "Traces", url: "https://traces.example.com/{environment}/{component}" },
];
kubectl("-n", "seaway", "patch", "stack", "shop", "--type=merge", "-p", JSON.stringify({ spec: { links } }));
await until("the links are shown", async () => {
  await page.reload();
  return page.getByRole("link", { name: /^Grafana/ }).waitFor({ timeout: 2_000 }).then(() => true, () => false);
});
assert.equal(await page.getByRole("link", { name: /^Grafana/ }).getAttribute("href"), "https://grafana.example.com/d/shop?var-namespace=shop-staging");
assert.equal(await page.getByRole("link", { name: /^Traces of web/ }).getAttribute("href"), "https://traces.example.com/staging/web");

// Logs: what was read stays, once, when the connection is cut, and when the machine slept and nobody closed it.
await tab("Logs");
await page.getByLabel("Logs of").selectOption({ label: "Deployment web" });
const lines = page.getByRole("log").locator("div");
await lines.first().waitFor();
const read = await lines.allInnerTexts();
const streams = () => page.waitForResponse((response) => response.url().includes("/logs?") && response.url().includes("since="));
let again = streams();
for (const { client } of connections) client.destroy();
await again;
// The shop goes on writing.
assert.deepEqual((await lines.allInnerTexts()).slice(0, read.length), read);
again = streams();
for (const one of connections) one.silent = true;
await page.clock.fastForward(120_000);
await again;
kubectl("-n", "shop-staging", "rollout", "restart", "deployment/web");
await until("what comes later is appended", async () => (await lines.count()) > read.length);
const all = await lines.allInnerTexts();
assert.equal(new Set(all).size, all.length, `each line comes once: ${all.join("\n")}`);
await page.getByText("The connection to the server is lost").waitFor({ state: "detached" });

// Searched; and a field of a line is not broken in two where the line is too long.
await page.getByLabel("Search logs").fill("no line has this");
await page.getByText("No line has that.").waitFor();
await page.getByLabel("Search logs").fill("COMPONENT");
await until("lines are found whatever their case", async () => {
  const found = await lines.allInnerTexts();
  return found.length > 0 && found.every((line) => line.toLowerCase().includes("component"));
});
const cut = await lines.evaluateAll((all) => all.flatMap((line) => {
  const range = document.createRange();
  return [...line.childNodes].filter((node) => {
    range.selectNodeContents(node);
    return node.nodeType === Node.TEXT_NODE && range.getClientRects().length > 1;
  }).map((node) => node.data);
}));
assert.deepEqual(cut, [], "fields in two lines");
await page.getByLabel("Search logs").fill("");
await until("all are there again", async () => (await lines.count()) >= all.length);
await look("logs-all", page);

// What a container said before it was started again.
await page.getByRole("button", { name: "Suspend" }).click();
await page.getByRole("button", { name: "Resume" }).waitFor();
// Each probe of that path fails, and is a line of the log.
const containers = [{ name: "web", livenessProbe: { httpGet: { path: "/nothing" }, periodSeconds: 1 } }];
kubectl("-n", "shop-staging", "patch", "deployment/web", "-p", JSON.stringify({ spec: { template: { spec: { containers } } } }));
let restarted;
await until("a container is started again", () => {
  const { items } = JSON.parse(kubectl("-n", "shop-staging", "get", "pods", "-o", "json"));
  restarted = items.find((pod) => pod.status.containerStatuses?.some((one) => one.restartCount > 0))?.metadata.name;
  return restarted;
});
await page.getByLabel("Logs of").selectOption({ label: `Pod ${restarted}` });
await page.getByLabel("Previous container").check();
await lines.filter({ hasText: "/nothing" }).first().waitFor();
await look("logs-previous", page);
await page.getByLabel("Previous container").uncheck();
await page.getByRole("button", { name: "Resume" }).click();
await page.locator(".states").getByText("Synced", { exact: false }).waitFor();
await page.locator(".states").getByText("Healthy").waitFor();

// A sync that will never end is cancelled, and does not begin again by itself.
const file = join(process.env.CLONE, "overlays/staging/web/kustomization.yaml");
const good = readFileSync(file, "utf8");
writeFileSync(file, good.replace(/newTag: .*/, 'newTag: "9.9"'));
git("commit", "--quiet", "-am", "Try 9.9, which does not exist");
git("push", "--quiet", "origin", "HEAD:main");
await tab("Timeline");
const steps = page.getByRole("list", { name: "Steps" });
await page.getByRole("button", { name: "Cancel this sync" }).waitFor();
await steps.getByText("Deployment web").first().waitFor();
await page.getByText(/usually /).waitFor();
await look("timeline-running", page);
await page.getByRole("button", { name: "Cancel this sync" }).click();
await page.getByRole("main").getByText("Cancelled", { exact: true }).first().waitFor();
await page.getByText("cancelled by ada", { exact: true }).waitFor();
await page.getByText(/was cancelled by ada: it begins again/).waitFor();
await look("timeline-cancelled", page);
// Among many, what is not well is found; what becomes well is there by itself.
await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Environments" }).click();
await page.getByRole("searchbox", { name: "Filter environments" }).pressSequentially("stag");
await page.getByRole("link", { name: "production", exact: true }).waitFor({ state: "detached" });
await row.getByRole("link", { name: "staging" }).waitFor();
await page.getByRole("searchbox", { name: "Filter environments" }).fill("");
await page.getByRole("combobox", { name: "Health" }).selectOption("Healthy");
await row.waitFor({ state: "detached" });
await page.getByRole("link", { name: "production", exact: true }).waitFor();
await page.getByRole("combobox", { name: "Class" }).selectOption("staging");
await page.getByText("No environment matches").waitFor();
writeFileSync(file, good);
git("commit", "--quiet", "-am", "Take 9.9 back");
git("push", "--quiet", "origin", "HEAD:main");
await row.getByRole("link", { name: "staging" }).click();
await page.locator(".states").getByText("Healthy").waitFor();
await page.locator(".states").getByText("Synced", { exact: false }).waitFor();

// A command line is let in by the browser of whoever is logged in there.
const login = spawn(process.env.SEAWAY, ["login", "--server", origin], {
  env: { ...process.env, BROWSER: "true", XDG_CONFIG_HOME: mkdtempSync(join(tmpdir(), "seaway-login-")), KUBECONFIG: "/nonexistent" },
  stdio: ["ignore", "pipe", "pipe"],
});
let told = "";
login.stderr.on("data", (data) => (told += data));
const ended = new Promise((resolve) => login.on("close", resolve));
await until("it prints the link", () => /It shows .{9}\./.test(told));
await page.goto(/https?:\S+command-line\S+/.exec(told)[0]);
await page.getByText(/It must show the same/).waitFor();
assert.equal(await page.locator(".compare").textContent(), /It shows (.{9})\./.exec(told)[1]);
await look("command-line", page);
await page.getByRole("button", { name: "Allow" }).click();
await page.getByText("The command line is logged in. You can close this page.").waitFor();
assert.equal(await ended, 0, told);

// Ten thousand environments: only what is in view is asked for and drawn, wherever one is.
const many = await visitor();
await many.context().addCookies(await page.context().cookies());
const asked = [];
await many.route(/\/api\/v1\/environments\?/, (route) => {
  const query = new URL(route.request().url()).searchParams;
  const offset = Number(query.get("offset") ?? 0);
  const limit = Math.min(Number(query.get("limit") ?? 100), 10_000 - offset);
  asked.push(limit);
  const items = Array.from({ length: limit }, (_, index) => {
    const number = String(offset + index).padStart(5, "0");
    return {
      name: `environment-${number}`, namespace: "seaway", class: "preview", stack: "shop", release: `shop-0123456${number}`,
      revision: "0a1b2c3d", sync: "Synced", health: "Healthy", message: "Deployment.apps shop/web: 1 of 2 replicas are updated",
      deployed: { time: new Date().toISOString(), actor: "seaway", author: "Mira Okafor", subject: "Describe the shop" },
    };
  });
  return route.fulfill({ json: { items, total: 10_000 } });
});
await many.goto(origin);
await many.getByRole("link", { name: "environment-00000" }).waitFor();
const frames = await many.evaluate(async () => {
  const times = [];
  let last = performance.now();
  for (let frame = 0; frame < 240; frame++) {
    window.scrollBy(0, 400);
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    times.push(now - last);
    last = now;
  }
  return times.sort((a, b) => a - b);
});
const at = (part) => frames[Math.floor(frames.length * part)].toFixed(1);
console.log(`| scrolling in 10,000 | median | p95 | longest |\n|---|---|---|---|\n| milliseconds of a frame | ${at(0.5)} | ${at(0.95)} | ${at(0.999)} |`);
await many.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight / 2));
await many.getByRole("link", { name: /environment-0(49|50)\d\d/ }).first().waitFor();
await many.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight));
await many.getByRole("link", { name: "environment-09999" }).waitFor();
const drawn = await many.getByRole("row").count();
assert.ok(drawn < 120, `${drawn} rows are drawn`);
assert.ok(Math.max(...asked) <= 300, `at most ${Math.max(...asked)} are asked for at once`);

assert.deepEqual(errors, [], "nothing went wrong in the browser");
await browser.close();
process.exit(0);
