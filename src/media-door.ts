/**
 * The doors that take audio in messages, off the configuration: media over WebSocket on the service's HTTP server, and
 * AudioSocket on a port of its own. What they do is transport/websocket-media and transport/audiosocket.
 */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { admitted } from "./access/index.ts";
import type { Config } from "./config.ts";
import type { ParticipantInfo } from "./core/audio-source.ts";
import type { Clock } from "./core/clock.ts";
import { TonetapError } from "./core/errors.ts";
import type { Engine } from "./engine.ts";
import {
  checkDoor,
  type DoorOptions,
  type HttpServer,
  jsonResponse,
  type Operation,
  operation,
} from "./events/index.ts";
import { given, participantFields } from "./rtp-routes.ts";
import { type AudioSocketServer, createAudioSocketServer } from "./transport/audiosocket/index.ts";
import {
  MEDIA_PATHS,
  type MediaDialectName,
  type MediaSocketOptions,
  MediaSocketServer,
} from "./transport/websocket-media/index.ts";

/** Media over WebSocket, on the upgrades of `http`. */
export function openMediaDoor(
  engine: Engine,
  http: HttpServer,
  door: DoorOptions,
  authorize: MediaSocketOptions["authorize"] | undefined,
  onRefused: NonNullable<MediaSocketOptions["onRefused"]>,
): MediaSocketServer {
  const { tokens: _, audiohookKeys, ...limits } = engine.config.media;
  return new MediaSocketServer(http.server, {
    ...limits,
    clock: engine.clock,
    admit: (request) => checkDoor(request, door),
    onRefused,
    ...(authorize === undefined ? {} : { authorize }),
    ...(audiohookKeys.length === 0 ? {} : { audiohookSecrets: secretsOf(audiohookKeys) }),
    onVoice: async (source, { participant }) => {
      await engine.attach(source, participant);
    },
  });
}

/**
 * AudioSocket, if the configuration has it listened for, with the route that says beforehand who is behind a UUID:
 * `POST /v1/audiosocket` takes what `POST /v1/rtp` takes of a participant, and gives the UUID for the dialplan.
 */
export async function openAudioSocketDoor(
  engine: Engine,
  http: HttpServer,
  onError?: (error: TonetapError) => void,
  onRefused?: (error: TonetapError, remoteHost?: string) => void,
): Promise<AudioSocketServer | undefined> {
  const { listen, unannounced, defaultRole, defaultConsent, ...options } = engine.config.audioSocket;
  if (listen === "off") return undefined;
  const announced = new AnnouncedCalls(engine.clock);
  const server = await createAudioSocketServer({
    ...options,
    clock: engine.clock,
    // Who is refused by policy or a limit is no defect.
    onError: (error, remoteHost) => {
      if (error.code === "internal") onError?.(error);
      else onRefused?.(error, remoteHost);
    },
    onCall: async (source, { uuid }) => {
      const known = announced.take(uuid);
      if (known === undefined && unannounced === "refuse") {
        throw new TonetapError("not-found", "nobody announced this UUID at /v1/audiosocket");
      }
      const stranger = { callId: uuid, participantId: "caller", role: defaultRole, consent: defaultConsent };
      await engine.attach(source, known ?? stranger);
    },
  });
  http.serve(announceCall, ({ json, caller }) => {
    const participant = admitted(caller, given(json));
    const { host, port } = server.address;
    return jsonResponse({ uuid: announced.add(participant), host, port, expiresMs: ANNOUNCED_MS }, 201);
  });
  return server;
}

const announceCall = operation({
  id: "announceAudioSocketCall",
  tag: "media",
  method: "POST",
  path: "/v1/audiosocket",
  access: "calls:write",
  summary: "Say who will call by Asterisk's AudioSocket",
  description: "There where `audioSocket.listen` is `tcp`. docs/websocket-media.md.",
  body: z.strictObject(participantFields).meta({ id: "NewParticipant" }),
  answers: {
    201: {
      meaning: "Whoever calls with this UUID is that participant.",
      schema: z
        .object({
          uuid: z.uuid().describe("For the dialplan: `AudioSocket(UUID,host:port)`."),
          host: z.string(),
          port: z.int().min(1).max(65_535),
          expiresMs: z.int().describe("ms that the call has to come."),
        })
        .meta({ id: "AnnouncedCall" }),
    },
  },
  problems: ["overloaded"],
});

const mediaOf = (dialect: MediaDialectName, id: string, whose: string): Operation => ({
  id,
  tag: "media",
  method: "GET",
  path: MEDIA_PATHS[dialect],
  access: "public",
  asks: "calls:write",
  summary: `Media over WebSocket: ${whose}`,
  description: "To be asked with `Upgrade: websocket`. docs/websocket-media.md says what is spoken.",
  answers: { 101: { meaning: "The WebSocket is open." } },
  problems: ["not-found", "overloaded", "closed"],
});

/** Upgrades, which the media server takes by itself: described here, registered nowhere. */
export const mediaUpgrades: readonly Operation[] = [
  mediaOf("twilio", "openTwilioMedia", "Twilio, Telnyx and their like"),
  mediaOf("audiohook", "openAudioHook", "Genesys AudioHook"),
  mediaOf("jitsi", "openJitsiMedia", "Jitsi"),
];

export const mediaOperations = [announceCall] as const;

/** ms that an announced call has to come. */
const ANNOUNCED_MS = 60_000;
/** Announced and not yet come, at most. */
const MAX_ANNOUNCED = 10_000;

/** Who is behind UUIDs that have not called yet. */
class AnnouncedCalls {
  readonly #clock: Clock;
  /** In the order of their end: each waits equally long. */
  readonly #calls = new Map<string, { readonly participant: ParticipantInfo; readonly untilMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws TonetapError overloaded */
  add(participant: ParticipantInfo): string {
    this.#forgetOld();
    if (this.#calls.size >= MAX_ANNOUNCED) {
      throw new TonetapError("overloaded", `${MAX_ANNOUNCED} calls are announced and have not come`);
    }
    const uuid = randomUUID();
    this.#calls.set(uuid, { participant, untilMs: this.#clock.now() + ANNOUNCED_MS });
    return uuid;
  }

  take(uuid: string): ParticipantInfo | undefined {
    this.#forgetOld();
    const call = this.#calls.get(uuid);
    this.#calls.delete(uuid);
    return call?.participant;
  }

  #forgetOld(): void {
    const now = this.#clock.now();
    for (const [uuid, { untilMs }] of this.#calls) {
      if (untilMs > now) return;
      this.#calls.delete(uuid);
    }
  }
}

/** `key:secret` each. @throws TonetapError invalid-argument, without repeating them */
function secretsOf(keys: Config["media"]["audiohookKeys"]): Map<string, string> {
  const secrets = new Map<string, string>();
  for (const [index, entry] of keys.entries()) {
    const colon = entry.indexOf(":");
    const secret = entry.slice(colon + 1);
    // Genesys Cloud makes secrets of 32 bytes and more; one that is too short is one that was mistyped.
    if (colon < 1 || Buffer.from(secret, "base64").length < 16) {
      throw new TonetapError(
        "invalid-argument",
        `media.audiohookKeys must be key:secret, the secret at least 16 bytes in base64; entry ${index + 1} is not`,
      );
    }
    secrets.set(entry.slice(0, colon), secret);
  }
  return secrets;
}
