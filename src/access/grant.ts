/** What a key or a token lets its holder do: scopes, and the tenant they end at. Believing it is api-keys.ts and jwt.ts. */
import type { Caller, Right, VouchedParticipant } from "../core/caller.ts";
import { TonetapError } from "../core/errors.ts";
import { localCallId, tenantOf } from "../core/tenant.ts";

/** One right, and which calls it is for. */
export interface Scope {
  readonly right: Right;
  /** The id as its tenant chose it, cut at each `*`, which is any text. Default: all calls. */
  readonly calls?: readonly string[];
}

const RIGHTS: readonly Right[] = ["events:read", "calls:write", "metrics:read", "admin"];
/** Only these speak of calls, and may be narrowed to some: `events:read:support-*`. */
const OF_CALLS: ReadonlySet<Right> = new Set(["events:read", "calls:write"]);

/** @throws TonetapError invalid-argument, naming those there are */
export function parseScope(text: string): Scope {
  for (const right of RIGHTS) {
    if (text === right) return { right };
    if (OF_CALLS.has(right) && text.startsWith(`${right}:`) && text.length <= 256) {
      return { right, calls: text.slice(right.length + 1).split("*") };
    }
  }
  throw new TonetapError(
    "invalid-argument",
    `a scope must be one of ${RIGHTS.join(", ")}, or events:read:PATTERN or calls:write:PATTERN with "*" for any text, got ${JSON.stringify(text).slice(0, 80)}`,
  );
}

/** Takes what fits first, which is enough where stars are all there is: no pattern takes long. */
function fits(parts: readonly string[], text: string): boolean {
  const [first = "", ...rest] = parts;
  const last = rest.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}

export interface GrantOptions {
  readonly name: string;
  readonly tenant?: string | undefined;
  readonly scopes: readonly Scope[];
  readonly vouches?: VouchedParticipant | undefined;
  /** False once it has expired or was taken back: from then on it gives no right. */
  readonly isValid?: () => boolean;
}

export class Grant implements Caller {
  readonly name: string;
  readonly tenant: string | undefined;
  readonly vouches: VouchedParticipant | undefined;
  readonly #scopes: readonly Scope[];
  readonly #isValid: () => boolean;

  constructor({ name, tenant, scopes, vouches, isValid = () => true }: GrantOptions) {
    this.name = name;
    this.tenant = tenant;
    this.vouches = vouches;
    this.#scopes = scopes;
    this.#isValid = isValid;
  }

  may(right: Right, callId?: string): boolean {
    if (!this.#isValid()) return false;
    if (callId === undefined) return this.#mayAtAll(right);
    // The wall between tenants: no scope leads over it.
    if (this.tenant !== undefined && tenantOf(callId) !== this.tenant) return false;
    const name = this.tenant === undefined ? callId : localCallId(callId);
    return this.#scopes.some(
      (scope) =>
        scope.right === "admin" ||
        (scope.right === right && (scope.calls === undefined || fits(scope.calls, name))),
    );
  }

  #mayAtAll(right: Right): boolean {
    // What concerns all calls is no tenant's.
    if (this.tenant !== undefined && !OF_CALLS.has(right)) return false;
    return this.#scopes.some((scope) => scope.right === right || scope.right === "admin");
  }
}
