/** The endpoints of the server, one function each. */
import { request, type Query } from "./client";
import type {
  AccessTokenList,
  Account,
  Admission,
  AccountList,
  AuditList,
  CopyAnswer,
  CopyRequest,
  EnvironmentDetail,
  EnvironmentKey,
  EnvironmentList,
  FidelityView,
  History,
  Holds,
  Invitation,
  Lifetime,
  LoginInfo,
  NewAccessToken,
  ObjectDetail,
  ObjectRef,
  OverrideRequest,
  Overrides,
  Plan,
  ProposeAnswer,
  Rights,
  Role,
  Scope,
  Session,
  SyncAnswer,
  Timeline,
  Traffic,
  Tree,
  UsageList,
} from "./contract";

type Signal = AbortSignal | undefined;

const path = ({ namespace, name }: EnvironmentKey): string =>
  `/environments/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;

export const loginInfo = (signal?: Signal) => request<LoginInfo>("GET", "/login", { signal });
export const login = (name: string, password: string) =>
  request<Session>("POST", "/login", { body: { name, password } });
export const setup = (code: string, name: string, password: string) =>
  request<Session>("POST", "/setup", { body: { code, name, password } });
export const join = (code: string, password: string) =>
  request<Session>("POST", "/join", { body: { code, password } });
export const session = (signal?: Signal) => request<Session>("GET", "/session", { signal });
export const logout = () => request<unknown>("DELETE", "/session");

export const admit = (challenge: string) => request<Admission>("POST", "/command-lines", { body: { challenge } });

export const usage = (signal?: Signal) => request<UsageList>("GET", "/usage", { signal });

export const accessTokens = (signal?: Signal) => request<AccessTokenList>("GET", "/access-tokens", { signal });
export const createAccessToken = (name: string, scopes: Scope[], expires: string) =>
  request<NewAccessToken>("POST", "/access-tokens", { body: { name, scopes, expires } });
export const revokeAccessToken = (id: number) => request<unknown>("DELETE", `/access-tokens/${id}`);

export interface AuditQuery extends Query {
  actor?: string;
  action?: string;
  object?: string;
  address?: string;
  outcome?: string;
  limit?: number;
  continue?: number;
}

export const audit = (query: AuditQuery, signal?: Signal) => request<AuditList>("GET", "/audit", { query, signal });

const accountPath = (name: string): string => `/accounts/${encodeURIComponent(name)}`;

export const accounts = (signal?: Signal) => request<AccountList>("GET", "/accounts", { signal });
export const createAccount = (name: string, role: Role, grants: string[]) =>
  request<Invitation>("POST", "/accounts", { body: { name, role, grants } });
export const assignRole = (name: string, role: Role | undefined, grants: string[]) =>
  request<Account>("PUT", `${accountPath(name)}/role`, { body: { role, grants } });
export const invite = (name: string) => request<Invitation>("POST", `${accountPath(name)}/invitation`);
export const deleteAccount = (name: string) => request<unknown>("DELETE", accountPath(name));

export interface EnvironmentQuery extends Query {
  search?: string;
  class?: string;
  health?: string;
  sync?: string;
  stack?: string;
  namespace?: string;
  name?: string;
  limit?: number;
  offset?: number;
  continue?: string;
}

export const environments = (query: EnvironmentQuery, signal?: Signal) =>
  request<EnvironmentList>("GET", "/environments", { query, signal });
export const environment = (key: EnvironmentKey, signal?: Signal) =>
  request<EnvironmentDetail>("GET", path(key), { signal });
export const rights = (key: EnvironmentKey, signal?: Signal) => request<Rights>("GET", `${path(key)}/rights`, { signal });
export const tree = (key: EnvironmentKey, signal?: Signal) => request<Tree>("GET", `${path(key)}/tree`, { signal });
export const object = (key: EnvironmentKey, { group, version, kind, namespace, name }: ObjectRef, signal?: Signal) =>
  request<ObjectDetail>("GET", `${path(key)}/object`, { query: { group, version, kind, namespace, name }, signal });
export const timeline = (key: EnvironmentKey, sync?: number, signal?: Signal) =>
  request<Timeline>("GET", `${path(key)}/timeline`, { query: { sync }, signal });
export const traffic = (key: EnvironmentKey, minutes: number, signal?: Signal) =>
  request<Traffic>("GET", `${path(key)}/traffic`, { query: { minutes }, signal });
export const history = (key: EnvironmentKey, query: { limit?: number; continue?: number }, signal?: Signal) =>
  request<History>("GET", `${path(key)}/history`, { query, signal });
export const plan = (key: EnvironmentKey, revision: string | undefined, signal?: Signal) =>
  request<Plan>("GET", `${path(key)}/plan`, { query: { revision }, signal, patient: true });

export const sync = (key: EnvironmentKey) => request<SyncAnswer>("POST", `${path(key)}/sync`, { body: {} });
export const cancel = (key: EnvironmentKey, sync: number) => request<unknown>("POST", `${path(key)}/cancel`, { body: { sync } });
export const rollback = (key: EnvironmentKey, to: string | undefined, reason: string | undefined) =>
  request<Holds>("POST", `${path(key)}/rollback`, { body: { to, reason } });
export const hold = (key: EnvironmentKey, release: string | undefined, reason: string | undefined) =>
  request<Holds>("POST", `${path(key)}/hold`, { body: { release, reason } });
export const lift = (key: EnvironmentKey, release: string) =>
  request<Holds>("POST", `${path(key)}/hold`, { body: { release, lift: true } });
export const suspend = (key: EnvironmentKey) => request<unknown>("POST", `${path(key)}/suspend`);
export const resume = (key: EnvironmentKey) => request<unknown>("POST", `${path(key)}/resume`);
export const remove = (key: EnvironmentKey) => request<unknown>("DELETE", path(key));

export const copy = (body: Partial<CopyRequest>, signal?: Signal) =>
  request<CopyAnswer>("POST", "/environments", { body, signal });
export const override = (key: EnvironmentKey, body: Partial<OverrideRequest>) =>
  request<Overrides>("POST", `${path(key)}/override`, { body });
export const propose = (key: EnvironmentKey, component: string, message: string | undefined) =>
  request<ProposeAnswer>("POST", `${path(key)}/propose`, { body: { component, message } });
export const extend = (key: EnvironmentKey, expires: string | undefined) =>
  request<Lifetime>("POST", `${path(key)}/extend`, { body: { expires } });
export const fidelity = (key: EnvironmentKey, against: string | undefined, signal?: Signal) =>
  request<FidelityView>("GET", `${path(key)}/fidelity`, { query: { against }, signal, patient: true });

export const logsPath = (key: EnvironmentKey): string => `${path(key)}/logs`;
