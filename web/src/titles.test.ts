import { expect, test, vi } from "vitest";

vi.stubGlobal("window", { location: { pathname: "/", search: "", hash: "" } });
const { placeOf, titleOf } = await import("./titles");

test("every page has a title of its own", () => {
  const paths = ["/", "/accounts", "/audit", "/copies", "/tokens", "/command-line", "/login", "/setup", "/join",
    "/environments/seaway/staging", "/environments/seaway/staging/timeline", "/environments/seaway/production"];
  expect(new Set(paths.map(titleOf)).size).toBe(paths.length);
  expect(titleOf("/")).toBe("Environments – Seaway");
  expect(titleOf("/environments/seaway/staging")).toBe("staging · Tree – Seaway");
  expect(titleOf("/environments/seaway/staging/history")).toBe("staging · History – Seaway");
});

test("an address that leads nowhere says so", () => {
  for (const path of ["/elsewhere", "/%ff", "/accounts/more", "/toString", "/environments/seaway"]) {
    expect(titleOf(path)).toBe("Nothing is here – Seaway");
  }
  expect(titleOf("/environments/seaway/staging/valueOf")).toBe("staging · Nothing is here – Seaway");
});

test("from view to view of one environment one lands on the view", () => {
  expect(placeOf("/environments/seaway/staging", "/environments/seaway/staging/logs")).toBe("view");
  expect(placeOf("/environments/seaway/staging/logs", "/environments/seaway/production/logs")).toBe("content");
  expect(placeOf("/", "/environments/seaway/staging")).toBe("content");
  expect(placeOf("/audit", "/")).toBe("content");
});
