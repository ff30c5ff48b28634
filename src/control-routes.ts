/** REST control of participants: plain RTP ports, consent, leaving. What is live is read by events/service-routes.ts. */
import { z } from "zod";
import { admitted } from "./access/index.ts";
import { CONSENT_STATES, PARTICIPANT_ROLES } from "./core/audio-source.ts";
import { TonetapError } from "./core/errors.ts";
import type { CodecMap } from "./core/rtp.ts";
import { localCallId, qualifiedCallId } from "./core/tenant.ts";
import { WINDOW_PRIORITIES } from "./core/window.ts";
import type { Engine } from "./engine.ts";
import {
  type HttpHandler,
  type HttpRequest,
  type HttpServer,
  jsonBody,
  jsonResponse,
} from "./events/index.ts";
import type { Participant } from "./participant.ts";
import {
  codecOfRtpmap,
  createUdpRtpSource,
  DEFAULT_UDP_CODECS,
  parseInlineKey,
  SRTP_SUITES,
  type SrtpKeys,
} from "./transport/index.ts";

/** Who will be speaking, in the body of a request. */
export const participantFields = {
  callId: z.string(),
  participantId: z.string(),
  role: z.enum(PARTICIPANT_ROLES).optional(),
  consent: z.enum(CONSENT_STATES).optional(),
  /** As over WHIP: other people's screens and terminals show it. */
  displayName: z
    .string()
    .regex(/^[^\p{C}]{1,128}$/u, "must be 1–128 printable characters")
    .optional(),
  tenant: z.string().optional(),
  priority: z.enum(WINDOW_PRIORITIES).optional(),
} as const;

const rtpRequest = z.strictObject({
  ...participantFields,
  /** 0 or absent: a free one. */
  port: z.int().min(0).max(65_535).optional(),
  /** Payload types of the peer's own, by their names in SDP: `{"96": "L16/16000"}`; the usual ones stay. */
  codecs: z.record(z.string(), z.string()).optional(),
  /** `same-port`: RTCP is multiplexed (RFC 5761). `next-port`: on the port above. */
  rtcp: z.enum(["same-port", "next-port"]).optional(),
  /** Only SRTP with this key is taken. Keys are base64 of master key and salt, as in SDES: RFC 4568 §6.1. */
  srtp: z
    .strictObject({
      suite: z.enum(SRTP_SUITES),
      key: z.string(),
      /** What our RTCP is protected with; without it lost packets are not asked for again. */
      feedbackKey: z.string().optional(),
    })
    .optional(),
});

const PARTICIPANT = "/v1/calls/:callId/participants/:participantId";
const WRITE = { access: "calls:write" } as const;

const participantPatch = z.strictObject({ consent: z.enum(CONSENT_STATES) });

/**
 * - `POST /v1/rtp`: opens a UDP port for one participant and attaches it; 201 with the address.
 * - `PATCH /v1/calls/:callId/participants/:participantId` `{"consent": "granted"}`: grants or withdraws consent.
 * - `POST` of the same with `/notice` `{"how": "played", "reference": …}`: the proof that it was told. A second one: 409.
 * - `DELETE` of the same: detaches it, after its last windows are answered.
 */
export function addControlRoutes(http: HttpServer, engine: Engine): void {
  const { rtp } = engine.config;

  const openRtp: HttpHandler = async (request) => {
    const { port = 0, rtcp = "same-port", srtp, codecs: own, ...fields } = body(request, rtpRequest);
    // Before the port is opened: who may not bring anyone costs nothing.
    const participant = admitted(request.caller, given(fields));
    const source = await createUdpRtpSource({
      clock: engine.clock,
      host: rtp.host,
      port,
      rtcp,
      inactivityMs: rtp.inactivityMs,
      armingMs: rtp.armingMs,
      maxPacketsPerSecond: rtp.maxPacketsPerSecond,
      ...(own === undefined ? {} : { codecs: withCodecs(own) }),
      ...(srtp === undefined ? {} : { srtp: keysOf(srtp) }),
    }).catch((error: unknown) => {
      throw isPortTaken(error)
        ? new TonetapError("conflict", `UDP port ${port} is taken`, { cause: error })
        : error;
    });
    try {
      await engine.attach(source, participant);
    } catch (error) {
      await source.close();
      throw error;
    }
    const path = `/v1/calls/${encodeURIComponent(participant.callId)}/participants/${encodeURIComponent(participant.participantId)}`;
    const codecs = [...source.codecs].map(([payloadType, { mimeType, clockRateHz }]) => ({
      payloadType,
      mimeType,
      clockRateHz,
    }));
    const response = jsonResponse(
      {
        host: source.address.host,
        port: source.address.port,
        rtcp,
        ...(srtp === undefined ? {} : { srtp: { suite: srtp.suite } }),
        codecs,
        participant: path,
      },
      201,
    );
    return { ...response, headers: { ...response.headers, location: path } };
  };
  http.route("POST", "/v1/rtp", openRtp, WRITE);

  const setConsent: HttpHandler = async (request) => {
    const { consent } = body(request, participantPatch);
    const participant = find(engine, request);
    await participant.setConsent(consent, request.caller.name);
    return jsonResponse({
      ...participant.identity,
      consent: participant.consent,
      paused: participant.paused,
    });
  };
  http.route("PATCH", PARTICIPANT, setConsent, WRITE);

  const confirmNotice: HttpHandler = (request) => {
    const participant = find(engine, request);
    const proof = participant.confirmNotice(jsonBody(request), request.caller.name);
    return jsonResponse({
      ...participant.identity,
      paused: participant.paused,
      notice: { state: "given", proof },
    });
  };
  http.route("POST", `${PARTICIPANT}/notice`, confirmNotice, WRITE);

  const detach: HttpHandler = async (request) => {
    await find(engine, request).close();
    return { status: 204 };
  };
  http.route("DELETE", PARTICIPANT, detach, WRITE);
}

/** @throws TonetapError invalid-argument naming the codec or the payload type */
function withCodecs(own: Readonly<Record<string, string>>): CodecMap {
  const codecs = new Map(DEFAULT_UDP_CODECS);
  for (const [payloadType, name] of Object.entries(own)) {
    if (!/^\d{1,3}$/.test(payloadType) || Number(payloadType) > 127) {
      throw new TonetapError(
        "invalid-argument",
        `codecs: a payload type is 0–127, got ${payloadType.slice(0, 40)}`,
      );
    }
    codecs.set(Number(payloadType), codecOfRtpmap(name));
  }
  return codecs;
}

/** @throws TonetapError protocol naming the size that the suite needs, without the key. */
function keysOf({ suite, key, feedbackKey }: NonNullable<z.infer<typeof rtpRequest>["srtp"]>): SrtpKeys {
  return {
    remote: parseInlineKey(suite, key),
    ...(feedbackKey === undefined ? {} : { local: parseInlineKey(suite, feedbackKey) }),
  };
}

export type Given<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** Without the fields that did not come. */
export const given = <T extends object>(fields: T): Given<T> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Given<T>;

const isPortTaken = (error: unknown): boolean =>
  error instanceof TonetapError &&
  error.cause instanceof Error &&
  "code" in error.cause &&
  error.cause.code === "EADDRINUSE";

/**
 * Of another tenant's call nobody learns whether it exists; of one's own, whether one may change it.
 * @throws TonetapError not-found, policy
 */
function find(engine: Engine, { params, caller }: HttpRequest): Participant {
  const callId = qualifiedCallId(params.callId ?? "", caller.tenant);
  if (!caller.may("calls:write", callId)) {
    throw new TonetapError("policy", `${caller.name} may not change call ${localCallId(callId)}`);
  }
  return engine.participant(callId, params.participantId ?? "");
}

/** @throws TonetapError invalid-argument, naming every field that is wrong */
export function body<T>(request: HttpRequest, schema: z.ZodType<T>): T {
  const result = schema.safeParse(jsonBody(request));
  if (result.success) return result.data;
  const reasons = result.error.issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join(".")}: ${message}`,
  );
  throw new TonetapError("invalid-argument", reasons.join("; "));
}
