import { expect, test } from "vitest";
import type { TreeNode } from "../../api/contract";
import { flatten, podsOf } from "./rows";

const node = (kind: string, name: string, children: TreeNode[] = []): TreeNode => ({
  object: { group: "", version: "v1", kind, namespace: "shop", name },
  health: "Healthy",
  info: [],
  children,
});
const components = [{
  name: "web",
  health: "Healthy" as const,
  objects: [node("Deployment", "web", [node("ReplicaSet", "web-1", [node("Pod", "web-1-a")])])],
}];
const titles = (closed: string[]) => flatten(components, new Set(closed)).map((row) => `${row.level} ${row.title}`);

test("everything is open at first, each thing below what it belongs to", () => {
  expect(titles([])).toEqual(["1 web", "2 web", "3 web-1", "4 web-1-a"]);
});

test("what is closed hides all that is below it", () => {
  expect(titles(["/v1/Deployment/shop/web"])).toEqual(["1 web", "2 web"]);
  expect(titles(["component/web"])).toEqual(["1 web"]);
});

test("a workload's pods are found below its replica sets", () => {
  expect(podsOf(components[0]!.objects[0]!).map((pod) => pod.object.name)).toEqual(["web-1-a"]);
});
