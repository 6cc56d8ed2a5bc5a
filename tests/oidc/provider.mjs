// The certified `oidc-provider` with three people, for a server whose address is read from standard input.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import Provider from "oidc-provider";

const GROUPS = { jane: ["platform"], joe: ["shop-developers"], eve: ["elsewhere"] };

const server = createServer();
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
console.log(issuer);

const lines = createInterface({ input: process.stdin });
const { value: redirect } = await lines[Symbol.asyncIterator]().next();
const provider = new Provider(issuer, {
  clients: [{ client_id: "seaway", client_secret: "a secret & more", redirect_uris: [redirect] }],
  claims: { openid: ["sub"], profile: ["preferred_username", "groups"] },
  cookies: { keys: ["of this test"] },
  features: { devInteractions: { enabled: true } },
  pkce: { required: () => true },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({ sub: `id-of-${id}`, preferred_username: id, groups: GROUPS[id] ?? [] }),
  }),
});
server.on("request", provider.callback());
console.log("ready");
// Ends with the test.
lines.on("close", () => process.exit(0));
