/** REST control of who is there: looking, consent, pauses, priority, leaving. Attaching is the doors': rtp-routes.ts and others. */
import { z } from "zod";
import { CONSENT_STATES, PARTICIPANT_ROLES } from "./core/audio-source.ts";
import type { Caller } from "./core/caller.ts";
import { TonetapError } from "./core/errors.ts";
import { localCallId, qualifiedCallId, tenantOf } from "./core/tenant.ts";
import { WINDOW_PRIORITIES } from "./core/window.ts";
import type { Engine } from "./engine.ts";
import {
  type AnyOperation,
  CALL_PARAMS,
  type HttpRequest,
  type HttpServer,
  jsonBody,
  jsonResponse,
  operation,
  participantViewFields,
} from "./events/index.ts";
import { noticeAnswerSchema } from "./notice/index.ts";
import type { Participant } from "./participant.ts";

/** Participants of one answer. */
const PAGE_LIMIT = 1_000;

const participantSchema = z
  .object({
    callId: z.string().describe("Its call; a tenant's begins with `tenant~`."),
    tenant: z.string().optional().describe("Whose call it is; absent: the operator's own."),
    ...participantViewFields,
    priority: z.enum(WINDOW_PRIORITIES).describe("Whose windows go first when the model is busy."),
    onHold: z.boolean().describe("Paused by an operator, whatever its consent."),
  })
  .describe("A participant of a live call.")
  .meta({ id: "Participant" });

type ParticipantResource = z.output<typeof participantSchema>;

const flag = z.enum(["true", "false"]).optional();

const participantQuery = z.strictObject({
  call: z.string().optional().describe("Only those of this call."),
  tenant: z.string().optional().describe("Only those of this tenant's calls; for the operator's own keys."),
  role: z.enum(PARTICIPANT_ROLES).optional().describe("Only those of this role."),
  consent: z.enum(CONSENT_STATES).optional().describe("Only those whose consent is so."),
  paused: flag.describe("Only those that are, or are not."),
  speaking: flag.describe("Only those that are, or are not."),
  limit: z.coerce.number().int().min(1).max(PAGE_LIMIT).default(100).describe("Of one answer."),
  after: z.string().optional().describe("`next` of the answer before."),
});

const listParticipants = operation({
  id: "listParticipants",
  tag: "participants",
  method: "GET",
  path: "/v1/participants",
  access: "events:read",
  summary: "Participants of live calls",
  description: "In the order of their call ids and their own.",
  query: participantQuery,
  answers: {
    200: {
      meaning: "Those that the caller may see and the query asks for.",
      schema: z.object({
        participants: z.array(participantSchema),
        next: z.string().optional().describe("There are more: to be given as `after`."),
      }),
    },
  },
});

const PARTICIPANT = {
  tag: "participants",
  path: "/v1/calls/:callId/participants/:participantId",
  params: { ...CALL_PARAMS, participantId: "The participant." },
} as const;

const getParticipant = operation({
  ...PARTICIPANT,
  id: "getParticipant",
  method: "GET",
  access: "events:read",
  summary: "One participant",
  answers: { 200: { meaning: "The participant.", schema: participantSchema } },
  problems: ["not-found"],
});

const participantChange = z
  .strictObject({
    consent: z
      .enum(CONSENT_STATES)
      .optional()
      .describe("`withdrawn` stops the analysis and wipes the audio in memory, at once."),
    paused: z
      .boolean()
      .optional()
      .describe(
        "true stops the analysis and wipes likewise; false ends such a pause. Consent goes before it.",
      ),
    priority: z.enum(WINDOW_PRIORITIES).optional().describe("Of windows that come from now on."),
  })
  .refine((change) => Object.values(change).some((value) => value !== undefined), {
    message: "give consent, paused or priority",
  })
  .meta({ id: "ParticipantChange" });

const changeParticipant = operation({
  ...PARTICIPANT,
  id: "changeParticipant",
  method: "PATCH",
  access: "calls:write",
  summary: "Grant or withdraw consent, pause, resume, prioritise",
  description: "Resuming without consent is refused: `policy`.",
  body: participantChange,
  answers: { 200: { meaning: "The participant as it is now.", schema: participantSchema } },
  problems: ["not-found"],
});

const confirmNotice = operation({
  tag: "participants",
  path: `${PARTICIPANT.path}/notice`,
  params: PARTICIPANT.params,
  id: "confirmNotice",
  method: "POST",
  access: "calls:write",
  summary: "The proof that a participant was told that it is analysed",
  description: "Analysis that waited for it begins. docs/consent.md.",
  body: noticeAnswerSchema.meta({ id: "NoticeProof" }),
  checksItself: true,
  answers: { 200: { meaning: "The participant as it is now.", schema: participantSchema } },
  problems: ["not-found", "conflict"],
});

const removeParticipant = operation({
  ...PARTICIPANT,
  id: "removeParticipant",
  method: "DELETE",
  access: "calls:write",
  summary: "Detach a participant",
  answers: { 204: { meaning: "It has left; its last windows are answered." } },
  problems: ["not-found"],
});

const endCall = operation({
  id: "endCall",
  tag: "calls",
  method: "DELETE",
  path: "/v1/calls/:callId",
  params: CALL_PARAMS,
  access: "calls:write",
  summary: "Detach everyone in a call",
  answers: { 204: { meaning: "It is over; its last windows are answered." } },
  problems: ["not-found"],
});

export const participantOperations: readonly AnyOperation[] = [
  listParticipants,
  getParticipant,
  changeParticipant,
  confirmNotice,
  removeParticipant,
  endCall,
];

export function addParticipantRoutes(http: HttpServer, engine: Engine): void {
  http.serve(listParticipants, ({ search, caller }) => {
    const { limit, after, ...wanted } = search;
    const found = [...participantsSeenBy(engine, caller)]
      .filter((participant) => fits(participant, wanted, caller))
      .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
    const rest = after === undefined ? found : found.filter((participant) => keyOf(participant) > after);
    const shown = rest.slice(0, limit);
    const last = shown.at(-1);
    return jsonResponse({
      participants: shown,
      ...(last === undefined || rest.length === shown.length ? {} : { next: keyOf(last) }),
    });
  });

  http.serve(getParticipant, (request) => {
    const callId = callIdOf(request);
    // Of a call that is not for this caller too: it does not learn that it exists.
    if (!request.caller.may("events:read", callId)) throw notFound();
    return jsonResponse(resourceOf(engine, engine.participant(callId, request.params.participantId ?? "")));
  });

  http.serve(changeParticipant, async (request) => {
    const { consent, paused, priority } = request.json;
    const participant = find(engine, request);
    const agreed = consent ?? participant.consent;
    if (paused === false && agreed !== "granted") {
      throw new TonetapError("policy", `consent is ${agreed}: without it nothing is analysed`);
    }
    if (priority !== undefined) participant.priority = priority;
    // First what makes it stop: nothing is analysed in between that is not to be.
    if (paused === true) await participant.pause();
    if (consent !== undefined) await participant.setConsent(consent, request.caller.name);
    if (paused === false) await participant.resume();
    return jsonResponse(resourceOf(engine, participant));
  });

  http.serve(confirmNotice, (request) => {
    const participant = find(engine, request);
    participant.confirmNotice(jsonBody(request), request.caller.name);
    return jsonResponse(resourceOf(engine, participant));
  });

  http.serve(removeParticipant, async (request) => {
    await find(engine, request).close();
    return { status: 204 };
  });

  http.serve(endCall, async (request) => {
    await engine.endCall(changeable(request));
    return { status: 204 };
  });
}

/** Where a participant is. */
export const participantPath = ({
  callId,
  participantId,
}: {
  readonly callId: string;
  readonly participantId: string;
}): string => `/v1/calls/${encodeURIComponent(callId)}/participants/${encodeURIComponent(participantId)}`;

/** Sorts by call, then by participant; NUL is in no id. */
const keyOf = ({ callId, participantId }: ParticipantResource): string =>
  Buffer.from(`${callId}\u0000${participantId}`).toString("hex");

type Wanted = Omit<z.output<typeof participantQuery>, "limit" | "after">;

function fits(participant: ParticipantResource, wanted: Wanted, caller: Caller): boolean {
  const { call, tenant, role, consent, paused, speaking } = wanted;
  return (
    (call === undefined || participant.callId === qualifiedCallId(call, caller.tenant)) &&
    (tenant === undefined || participant.tenant === tenant) &&
    (role === undefined || participant.role === role) &&
    (consent === undefined || participant.consent === consent) &&
    (paused === undefined || String(participant.paused) === paused) &&
    (speaking === undefined || String(participant.speaking) === speaking)
  );
}

function* participantsSeenBy(engine: Engine, caller: Caller): Generator<ParticipantResource> {
  for (const { callId, participants } of engine.hub.calls()) {
    if (!caller.may("events:read", callId)) continue;
    for (const view of participants) {
      const participant = engine.findParticipant(callId, view.participantId);
      if (participant !== undefined) yield { ...view, ...controlOf(participant) } as ParticipantResource;
    }
  }
}

function resourceOf(engine: Engine, participant: Participant): ParticipantResource {
  const { callId, participantId } = participant.identity;
  const view = engine.hub.participant(callId, participantId);
  if (view === undefined) throw notFound();
  return { ...view, ...controlOf(participant) } as ParticipantResource;
}

/** What its events do not tell, or not yet: analysis that may run takes a moment to begin. */
function controlOf({ identity: { callId }, consent, paused, onHold, priority }: Participant) {
  const tenant = tenantOf(callId);
  return { callId, ...(tenant === undefined ? {} : { tenant }), consent, paused, onHold, priority };
}

const notFound = (): TonetapError => new TonetapError("not-found", "there is no such participant now");

const callIdOf = ({ params, caller }: HttpRequest): string =>
  qualifiedCallId(params.callId ?? "", caller.tenant);

/**
 * The call's whole id. Of another tenant's call nobody learns whether it exists; of one's own, whether one may change it.
 * @throws TonetapError policy
 */
function changeable(request: HttpRequest): string {
  const callId = callIdOf(request);
  if (request.caller.may("calls:write", callId)) return callId;
  throw new TonetapError("policy", `${request.caller.name} may not change call ${localCallId(callId)}`);
}

/** @throws TonetapError not-found, policy */
const find = (engine: Engine, request: HttpRequest): Participant =>
  engine.participant(changeable(request), request.params.participantId ?? "");
