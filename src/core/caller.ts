/**
 * Who asks, and what they may: what every door goes by, whatever they showed to get in. Telling keys and tokens apart
 * is access/.
 */
import type { ParticipantInfo } from "./audio-source.ts";

/**
 * - `events:read`: see calls and their events.
 * - `calls:write`: bring participants, change their consent, detach them.
 * - `metrics:read`: see how the service as a whole is doing.
 * - `admin`: change what concerns all calls: alert rules, models.
 */
export type Right = "events:read" | "calls:write" | "metrics:read" | "admin";

/** What a token says of whom its holder brings. */
export type VouchedParticipant = Readonly<
  Partial<Pick<ParticipantInfo, "participantId" | "role" | "consent" | "displayName">>
>;

export interface Caller {
  /** For the audit log: `key desk`, `token alice`, `anyone`. Never a secret. */
  readonly name: string;
  /** Whose calls these are; undefined: the operator's, who may reach the calls of every tenant. */
  readonly tenant: string | undefined;
  /** Goes before what its requests say of a participant. Default: they may say what they like. */
  readonly vouches?: VouchedParticipant | undefined;
  /** Whether it has the right; with a call, whether it has it there. `callId` is whole: see core/tenant.ts. */
  may(right: Right, callId?: string): boolean;
}

/** Where nobody has to say who they are. */
export const ANYONE: Caller = { name: "anyone", tenant: undefined, may: () => true };

/** Where nobody was asked, because nothing there needs a right. */
export const NOBODY: Caller = { name: "nobody", tenant: undefined, may: () => false };

/**
 * Whoever was let in with media: who its participants are in the service, which may differ from what it says.
 * @throws TonetapError policy when it may not bring this one
 */
export type Admit = (participant: ParticipantInfo) => ParticipantInfo;
