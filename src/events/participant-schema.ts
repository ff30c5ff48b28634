/** What events say of participants: who comes and goes, and whether they may be analysed. The other kinds are schema.ts. */
import { z } from "zod";
import { CONSENT_STATES } from "../core/audio-source.ts";
import { count, failure, ms, pauseReason, person, role, wallTime, windows } from "./schema-fields.ts";

export const PARTICIPANT_DATA = {
  "participant.joined": z
    .object({
      ...person,
      role,
      displayName: z.string().max(256).optional().describe("Shown to people."),
      consent: z.enum(CONSENT_STATES).describe("Whether this person agreed to be analysed."),
      paused: z.boolean().describe("Analysis waits for consent or for the notice."),
      transport: z
        .string()
        .describe("Where the audio comes from: `rtp`, `whip`, `mediasoup`, `sip`, `file`, …"),
    })
    .describe("A participant's audio is attached."),

  "participant.left": z
    .object({
      ...person,
      role,
      reason: z
        .enum(["left", "removed", "inactive", "failed", "shutdown"])
        .describe(
          "The peer left; the owner detached it; nothing came for too long; its stream broke (see `error`); " +
            "the service is stopping.",
        ),
      error: failure.optional(),
      durationMs: ms("From participant.joined to now"),
      windows,
    })
    .describe("A participant's audio is detached. No event of it follows."),

  "participant.paused": z
    .object({
      ...person,
      role,
      reason: pauseReason,
    })
    .describe(
      "Analysis has stopped, and audio in memory is wiped; with `notice-pending` it has not begun yet. The audio stream " +
        "itself goes on.",
    ),

  "participant.resumed": z
    .object({ ...person, role, reason: z.enum(["consent-granted", "notice-given", "policy", "operator"]) })
    .describe("Analysis runs from here on."),

  "participant.discarded": z
    .object({
      ...person,
      role,
      reason: pauseReason,
      windows: count("Windows that waited for the model and were thrown away."),
    })
    .describe(
      "The audio, features and windows of this voice that were in memory are wiped. Comes right after participant.paused.",
    ),

  "participant.consent": z
    .object({
      ...person,
      role,
      consent: z.enum(CONSENT_STATES).describe("From now on."),
      previous: z.enum(CONSENT_STATES),
      by: z
        .string()
        .max(256)
        .describe(
          "Who changed it, or which way it came: `program`, `key <id>`, `token <sub>`, `anyone`, `keys` (of the " +
            "telephone), `SIP INFO`, `SIP header`, `SIPREC`, `WHIP`, `message`.",
        ),
    })
    .describe("Consent was given or taken back after the participant joined."),

  "participant.notice": z
    .object({
      ...person,
      role,
      state: z
        .enum(["requested", "given", "failed", "cancelled"])
        .describe(
          "Somebody was asked to give the notice; there is proof that it was given; nobody gave it, however often asked; it " +
            "was no longer needed.",
        ),
      attempt: z.int().min(1).optional().describe("How often it was asked, with `requested` and `failed`."),
      proof: z
        .object({
          by: z.string().min(1).max(128).describe("Who gave it."),
          how: z.enum(["played", "shown", "read"]),
          reference: z.string().min(1).max(128).optional().describe("Finds it in the giver's own records."),
          language: z.string().max(35).optional().describe("Of the notice, BCP 47."),
          at: wallTime("When it was given"),
        })
        .optional()
        .describe("With `given`."),
      reason: z.string().max(256).optional().describe("Why it failed, for people."),
    })
    .describe("What became of telling a participant that it is analysed, where somebody is to tell it."),

  "participant.recovered": z
    .object({ ...person, role, error: failure })
    .describe(
      "What worked on this audio broke down (see `error`), and another thread does from here on. A talk-spurt that was " +
        "open has ended; windows go on with their numbers.",
    ),
} as const;
