/**
 * The types that the page uses, under short names: all of them come from the server's OpenAPI document.
 */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type EnvironmentView = Schemas["EnvironmentView"];
export type EnvironmentDetail = Schemas["EnvironmentDetail"];
export type EnvironmentList = Schemas["EnvironmentList"];
export type EnvironmentKey = Schemas["EnvironmentKey"];
export type ObjectRef = Schemas["ObjectRef"];
export type ObjectView = Schemas["ObjectView"];
export type FieldChange = Schemas["FieldChange"];
export type Plan = Schemas["Plan"];
export type PlannedObject = Schemas["PlannedObject"];
export type History = Schemas["History"];
export type SyncRecord = Schemas["SyncRecord"];
export type SyncAnswer = Schemas["SyncAnswer"];
export type CommitView = Schemas["CommitView"];
export type Hold = Schemas["Hold"];
export type Holds = Schemas["Holds"];
export type LedgerEvent = Schemas["Event"];
export type Progress = Schemas["Progress"];
export type Problem = Schemas["Problem"];

export type Health = EnvironmentView["health"];
export type Sync = EnvironmentView["sync"];
export type Class = EnvironmentView["class"];
export type Action = PlannedObject["action"];
export type Outcome = SyncRecord["outcome"];
export type LoginInfo = Schemas["LoginPage"];
export type Session = Schemas["Session"];
export type Account = Schemas["Account"];
export type AccountList = Schemas["AccountList"];
export type Invitation = Schemas["Invitation"];
export type AccessToken = Schemas["AccessToken"];
export type AccessTokenList = Schemas["AccessTokenList"];
export type NewAccessToken = Schemas["NewAccessToken"];
export type Scope = Schemas["Scope"];
export type AuditList = Schemas["AuditList"];
export type Rights = Schemas["Rights"];
export type Role = Schemas["Role"];
export type Tree = Schemas["Tree"];
export type TreeNode = Schemas["TreeNode"];
export type TreeComponent = Schemas["TreeComponent"];
export type ObjectDetail = Schemas["ObjectDetail"];
export type LogLine = Schemas["LogLine"];
export type LogProblem = Schemas["LogProblem"];
export type Timeline = Schemas["Timeline"];
export type Step = Schemas["Step"];
export type StepState = Step["state"];
export type CopyRequest = Schemas["CopyRequest"];
export type CopyAnswer = Schemas["CopyAnswer"];
export type CopyView = Schemas["CopyView"];
export type OverrideRequest = Schemas["OverrideRequest"];
export type OverrideView = Schemas["OverrideView"];
export type Overrides = Schemas["Overrides"];
export type ProposeAnswer = Schemas["ProposeAnswer"];
export type Lifetime = Schemas["Lifetime"];
export type FidelityView = Schemas["FidelityView"];
export type FidelityDifference = Schemas["FidelityDifference"];
export type DifferenceClass = FidelityDifference["class"];
export type DriftedField = Schemas["DriftedField"];
