/**
 * Whose a call is, where several customers share a service: a tenant is a namespace of call ids. The id of tenant
 * `acme`'s call `support-42` is `acme~support-42`, everywhere: so calls of two tenants cannot meet, whatever their ids.
 */
import { TonetapError } from "./errors.ts";

const NAME = "[A-Za-z0-9][A-Za-z0-9-]{0,62}";
const TENANT = new RegExp(`^${NAME}$`);
const QUALIFIED = new RegExp(`^(${NAME})~`);

/** @throws TonetapError invalid-argument */
export function assertTenant(tenant: string): void {
  if (TENANT.test(tenant)) return;
  throw new TonetapError(
    "invalid-argument",
    `tenant must be 1–63 letters, digits or "-" that begin with no "-", got ${JSON.stringify(tenant).slice(0, 80)}`,
  );
}

/** Whose call it is by its id; undefined: nobody's, the operator's own. */
export function tenantOf(callId: string): string | undefined {
  return QUALIFIED.exec(callId)?.[1];
}

/** The id as its tenant chose it. */
export function localCallId(callId: string): string {
  return callId.replace(QUALIFIED, "");
}

/** The whole id of a tenant's call. One that is whole already stays: an answer's id may be used in a request. */
export function qualifiedCallId(callId: string, tenant: string | undefined): string {
  return tenant === undefined || tenantOf(callId) === tenant ? callId : `${tenant}~${callId}`;
}
