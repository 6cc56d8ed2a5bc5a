// Logs in as a browser would: LINK begins the login, NAME is who logs in at the provider. Prints where it ended, and who
// the server then says is asking.
const jars = new Map();

function cookies(url) {
  return [...(jars.get(url.host) ?? new Map())].map(([name, value]) => `${name}=${value}`).join("; ");
}

async function ask(url, form) {
  const headers = { cookie: cookies(url), accept: "text/html" };
  const answer = await fetch(url, {
    method: form ? "POST" : "GET",
    body: form && new URLSearchParams(form),
    headers,
    redirect: "manual",
  });
  const jar = jars.get(url.host) ?? new Map();
  jars.set(url.host, jar);
  for (const cookie of answer.headers.getSetCookie()) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
    if (value === "" || /max-age=0/i.test(cookie)) jar.delete(name);
    else jar.set(name, value);
  }
  return answer;
}

const home = new URL(process.env.LINK);
let url = home;
let form;
for (let step = 0; step < 20; step += 1) {
  const answer = await ask(url, form);
  form = undefined;
  const location = answer.headers.get("location");
  if (location) {
    url = new URL(location, url);
    continue;
  }
  if (url.host === home.host) break;
  // A page of the provider: its form says what is asked.
  const page = await answer.text();
  const prompt = /name="prompt" value="(\w+)"/.exec(page)?.[1];
  if (!prompt) throw new Error(`${url} answers ${answer.status}: ${page.slice(0, 2000)}`);
  url = new URL(/action="([^"]+)"/.exec(page)[1], url);
  form = prompt === "login" ? { prompt, login: process.env.NAME, password: "any" } : { prompt };
}
const session = await ask(new URL("/api/v1/session", home));
console.log(JSON.stringify({ path: url.pathname + url.search, status: session.status, session: await session.json() }));
