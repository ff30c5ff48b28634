/** What REST shows of live calls, as schemas: CallView and ParticipantView of live-state.ts, for the OpenAPI document. */
import { z } from "zod";
import { CONSENT_STATES } from "../core/audio-source.ts";
import { EVENT_DATA } from "./schema.ts";
import { callId, person, role, wallTime } from "./schema-fields.ts";

export const alertSchema = EVENT_DATA["alert.raised"].meta({ id: "Alert" });

/** The fields of a participant, without those that say in which call it is. */
export const participantViewFields = {
  participantId: person.participantId,
  role,
  displayName: z.string().optional().describe("Shown to people."),
  transport: z.string().describe("Where the audio comes from: `rtp`, `whip`, `mediasoup`, `sip`, …"),
  joinedAt: wallTime("When its audio was attached"),
  consent: z.enum(CONSENT_STATES).describe("Whether this person agreed to be analysed."),
  paused: z
    .boolean()
    .describe("Nothing is analysed: consent is not granted, a notice is owed, or somebody paused it."),
  notice: EVENT_DATA["participant.notice"]
    .omit({ callId: true, participantId: true, role: true })
    .optional()
    .describe("Whether it was told that it is analysed, with the proof; absent where nobody is asked to."),
  speaking: z.boolean().describe("A talk-spurt is under way."),
  emotion: EVENT_DATA.emotion.meta({ id: "Emotion" }).optional(),
  state: EVENT_DATA["participant.state"].meta({ id: "ParticipantState" }).optional(),
  quality: EVENT_DATA.quality.meta({ id: "Quality" }).optional(),
  alerts: z.array(alertSchema).describe("Alerts that stand."),
} as const;

export const callViewSchema = z
  .object({
    callId,
    startedAt: wallTime("When its first participant joined"),
    state: EVENT_DATA["call.state"].meta({ id: "CallState" }).optional(),
    participants: z.array(z.object(participantViewFields).meta({ id: "ParticipantView" })),
  })
  .describe("A call that goes on.")
  .meta({ id: "Call" });
