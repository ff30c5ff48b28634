/** The fields that several kinds of event share: names, units, ranges. The kinds are schema.ts. */
import { z } from "zod";
import { PARTICIPANT_ROLES } from "../core/audio-source.ts";
import type { ErrorCode } from "../core/errors.ts";
import type { AudioMimeType } from "../core/rtp.ts";

export const share = (what: string) => z.number().min(0).max(1).describe(`${what}, 0–1.`);
export const count = (what: string) => z.int().min(0).describe(what);
export const ms = (what: string) => z.number().min(0).describe(`${what}, ms.`);
export const wallTime = (what: string) => z.iso.datetime().describe(`${what}, RFC 3339, UTC.`);

const ERROR_CODES = [
  "invalid-argument",
  "protocol",
  "media",
  "not-found",
  "conflict",
  "unauthenticated",
  "policy",
  "overloaded",
  "unavailable",
  "timeout",
  "closed",
  "internal",
] as const satisfies readonly ErrorCode[];

export const AUDIO_MIME_TYPES = [
  "audio/opus",
  "audio/PCMU",
  "audio/PCMA",
  "audio/L16",
  "audio/red",
  "audio/CN",
  "audio/telephone-event",
] as const satisfies readonly AudioMimeType[];

export const callId = z.string().min(1).max(128).describe("The call.");
const participantId = z.string().min(1).max(128).describe("The participant, unique within the call.");
export const role = z.enum(PARTICIPANT_ROLES).describe("What the participant is to the call.");
export const wallSource = z
  .enum(["ntp", "arrival"])
  .describe("`ntp`: the sender's clock, from RTCP sender reports. `arrival`: ours, from packet arrival.");

export const failure = z
  .object({
    code: z.enum(ERROR_CODES).describe("Stable; act on this one."),
    message: z.string().describe("For people."),
    retryable: z.boolean().describe("The same attempt may succeed later."),
  })
  .describe("What went wrong.");

export const windows = z
  .object({
    emitted: count("Windows that became an emotion event with an expression."),
    abstained: count("Windows that became an emotion event with `abstained: true`."),
    gated: count("Windows that never went to the model: silence, a talk-spurt too young, too much loss."),
    dropped: count("Windows that were ready for the model and got no answer: overload, deadline, failure."),
  })
  .describe("What became of the participant's windows since it joined. Each is counted once.");

export const pauseReason = z.enum([
  "consent-pending",
  "consent-withdrawn",
  "notice-pending",
  "policy",
  "operator",
]);

export const person = { callId, participantId };

export const speechEdge = {
  ...person,
  role,
  mediaMs: ms("Media time of the edge, since the participant's first sample"),
  wall: z.object({ at: wallTime("The same moment as time of day"), source: wallSource }),
};

export const mediaSpan = z
  .object({ startMs: ms("First sample"), endMs: ms("Past the last sample") })
  .describe("In media time, since the participant's first sample.");

export const wallSpan = z
  .object({ start: wallTime("First sample"), end: wallTime("Past the last sample"), source: wallSource })
  .describe("The same as time of day.");

export const axis = (what: string) => z.number().min(-1).max(1).describe(what);

/** A mean expression. */
export const expression = {
  top: z.string().describe("The expression of the highest mean: one of the names in `scores`."),
  confidence: share("Mean probability of `top`"),
  scores: z
    .record(z.string(), z.number().min(0).max(1))
    .describe("Mean probability of each expression; they sum to 1 (±0.001)."),
  valence: axis("−1 unpleasant … 1 pleasant."),
  arousal: axis("−1 calm … 1 excited."),
};

/** Exponentially weighted over speech: rolling-emotion.ts says how. */
export const rolling = {
  ...expression,
  abstainedShare: share("Share of recent windows that abstained"),
  trends: z
    .array(
      z.object({
        of: z.string().describe("A name in `scores`, `valence` or `arousal`."),
        direction: z.enum(["rising", "falling"]),
        forMs: ms("Since when"),
        change: z.number().describe("Recent mean less longer mean, signed."),
      }),
    )
    .describe("What moves, the strongest first. What is not named is steady."),
};

export const alert = {
  ...person,
  role,
  alertId: z.string().min(1).describe("The same in alert.raised and alert.cleared; unique."),
  ruleId: z.string().min(1).describe("The rule, as at /v1/alerts/rules."),
  ruleName: z.string().optional().describe("For people."),
  measure: z.string().describe("What the rule looks at: labels joined by `+`, `valence` or `arousal`."),
};
