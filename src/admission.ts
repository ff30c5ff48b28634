/** Who may be attached: ids, roles, consent states, and what the policy in force refuses. Limits are engine.ts. */
import {
  CONSENT_STATES,
  PARTICIPANT_ROLES,
  type ParticipantInfo,
  type ParticipantRole,
} from "./core/audio-source.ts";
import { TonetapError } from "./core/errors.ts";
import { assertTenant, qualifiedCallId, tenantOf } from "./core/tenant.ts";
import { WINDOW_PRIORITIES, type WindowOwner, type WindowPriority } from "./core/window.ts";
import type { ParticipantIdentity } from "./participant-contract.ts";

/** EU AI Act, Art. 5(1)(f): inferring emotions of people at work or in education is prohibited. */
const REFUSED_BY_EU: ReadonlySet<ParticipantRole> = new Set(["employee", "agent", "student"]);

/** @throws TonetapError invalid-argument (an id, a role, a consent state that is none), policy (the role) */
export function assertAdmissible(
  { callId, participantId, role }: ParticipantIdentity,
  consent: string,
  policy: "eu" | "none",
): void {
  assertId("callId", callId);
  assertId("participantId", participantId);
  assertOneOf("role", role, PARTICIPANT_ROLES);
  assertOneOf("consent", consent, CONSENT_STATES);
  if (policy === "eu" && REFUSED_BY_EU.has(role)) {
    throw new TonetapError(
      "policy",
      `policy eu refuses the role ${role}: inferring emotions of people at work or in education is prohibited ` +
        '(EU AI Act, Art. 5(1)(f)); policy "none" is your own responsibility',
    );
  }
}

/**
 * The id of a participant's call, whole: its tenant's name is part of it. Who names no tenant cannot get into a
 * tenant's call by calling it so: SIP and the like take ids from whoever calls.
 * @throws TonetapError invalid-argument
 */
export function callIdOf({ callId, tenant }: ParticipantInfo): string {
  if (tenant !== undefined) {
    assertTenant(tenant);
    return qualifiedCallId(callId, tenant);
  }
  const claimed = typeof callId === "string" ? tenantOf(callId) : undefined;
  if (claimed === undefined) return callId;
  throw new TonetapError(
    "invalid-argument",
    `callId must not begin with a tenant's name and "~" where no tenant is given, got ${JSON.stringify(callId).slice(0, 160)}`,
  );
}

/** Read for every window: a change of priority is for those that come. */
export interface MutableOwner extends WindowOwner {
  priority: WindowPriority;
}

/**
 * Whose a participant's windows are, for fairness and priority in the batcher.
 * @throws TonetapError invalid-argument
 */
export function windowOwner({ callId, tenant = "", priority = "normal" }: ParticipantInfo): MutableOwner {
  assertOneOf("priority", priority, WINDOW_PRIORITIES);
  return { call: callId, tenant, priority };
}

function assertId(name: string, value: string): void {
  if (typeof value !== "string" || !/^[^\p{C}]{1,128}$/u.test(value)) {
    throw new TonetapError(
      "invalid-argument",
      `${name} must be 1–128 printable characters, got ${JSON.stringify(value)?.slice(0, 160)}`,
    );
  }
}

function assertOneOf(name: string, value: string, allowed: readonly string[]): void {
  if (!allowed.includes(value)) {
    throw new TonetapError(
      "invalid-argument",
      `${name} must be one of ${allowed.join(", ")}, got ${JSON.stringify(value)}`,
    );
  }
}
