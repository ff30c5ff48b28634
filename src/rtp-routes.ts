/** `POST /v1/rtp`: a UDP port for one participant. What becomes of participants then is participant-routes.ts. */
import { z } from "zod";
import { admitted } from "./access/index.ts";
import { CONSENT_STATES, PARTICIPANT_ROLES } from "./core/audio-source.ts";
import { TonetapError } from "./core/errors.ts";
import type { CodecMap } from "./core/rtp.ts";
import { WINDOW_PRIORITIES } from "./core/window.ts";
import type { Engine } from "./engine.ts";
import { type HttpServer, jsonResponse, operation } from "./events/index.ts";
import { participantPath } from "./participant-routes.ts";
import {
  codecOfRtpmap,
  DEFAULT_UDP_CODECS,
  parseInlineKey,
  SRTP_SUITES,
  type SrtpKeys,
} from "./transport/index.ts";

/** Who will be speaking, in the body of a request. */
export const participantFields = {
  callId: z.string().describe("Participants of one call have the same. 1–128 printable characters."),
  participantId: z.string().describe("Unique within the call. 1–128 printable characters."),
  role: z.enum(PARTICIPANT_ROLES).optional().describe("What it is to the call. Default `guest`."),
  consent: z.enum(CONSENT_STATES).optional().describe("Default `pending`: nothing is analysed yet."),
  /** As over WHIP: other people's screens and terminals show it. */
  displayName: z
    .string()
    .regex(/^[^\p{C}]{1,128}$/u, "must be 1–128 printable characters")
    .optional()
    .describe("Shown to people; never logged."),
  tenant: z.string().optional().describe("Whose call it is, where the key does not say it."),
  priority: z
    .enum(WINDOW_PRIORITIES)
    .optional()
    .describe("Whose windows go first when the model is busy. Default `normal`."),
} as const;

const rtpRequest = z
  .strictObject({
    ...participantFields,
    port: z.int().min(0).max(65_535).optional().describe("0 or absent: a free one."),
    codecs: z
      .record(z.string(), z.string())
      .optional()
      .describe(
        'Payload types of the peer\'s own, by their names in SDP: `{"96": "L16/16000"}`; the usual ones stay.',
      ),
    rtcp: z
      .enum(["same-port", "next-port"])
      .optional()
      .describe("`same-port`: RTCP is multiplexed (RFC 5761). `next-port`: on the port above."),
    srtp: z
      .strictObject({
        suite: z.enum(SRTP_SUITES),
        key: z.string().describe("Master key and salt in base64, as in SDES (RFC 4568 §6.1)."),
        feedbackKey: z
          .string()
          .optional()
          .describe("What our RTCP is protected with; without it lost packets are not asked for again."),
      })
      .optional()
      .describe("Only SRTP with this key is taken."),
  })
  .meta({ id: "NewRtpPort" });

const rtpPort = z
  .object({
    host: z.string().describe("Where to send RTP to."),
    port: z.int().min(1).max(65_535),
    rtcp: z.enum(["same-port", "next-port"]),
    srtp: z.object({ suite: z.enum(SRTP_SUITES) }).optional(),
    codecs: z.array(
      z.object({ payloadType: z.int().min(0).max(127), mimeType: z.string(), clockRateHz: z.int() }),
    ),
    participant: z.string().describe("Path of the participant."),
  })
  .meta({ id: "RtpPort" });

const openRtpPort = operation({
  id: "openRtpPort",
  tag: "media",
  method: "POST",
  path: "/v1/rtp",
  access: "calls:write",
  summary: "Attach a participant by plain RTP or SRTP",
  description:
    "Opens a UDP port for one participant. It waits `rtp.armingMs` for its first packet; a peer that is silent for " +
    "`rtp.inactivityMs` has left. docs/rtp.md.",
  body: rtpRequest,
  answers: {
    201: { meaning: "The port is open.", schema: rtpPort, headers: { location: "Path of the participant." } },
  },
  problems: ["conflict", "overloaded", "closed"],
});

export const rtpOperations = [openRtpPort] as const;

export function addRtpRoutes(http: HttpServer, engine: Engine): void {
  const { rtp } = engine.config;
  http.serve(openRtpPort, async ({ json, caller }) => {
    const { port = 0, rtcp = "same-port", srtp, codecs: own, ...fields } = json;
    // Before the port is opened: who may not bring anyone costs nothing.
    const participant = admitted(caller, given(fields));
    const source = await engine.media
      .openRtp({
        host: rtp.host,
        port,
        rtcp,
        inactivityMs: rtp.inactivityMs,
        armingMs: rtp.armingMs,
        maxPacketsPerSecond: rtp.maxPacketsPerSecond,
        ...(own === undefined ? {} : { codecs: withCodecs(own) }),
        ...(srtp === undefined ? {} : { srtp: keysOf(srtp) }),
      })
      .catch((error: unknown) => {
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
    const path = participantPath(participant);
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
  });
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
