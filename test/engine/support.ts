/** An engine under test, the bundled recording as RTP frames, and ways to wait for what it says. */
import { fileURLToPath } from "node:url";
import type { ConfigInput } from "../../src/config.ts";
import type { ParticipantInfo } from "../../src/core/audio-source.ts";
import { systemClock } from "../../src/core/clock.ts";
import { OPUS } from "../../src/core/rtp.ts";
import { createEngine, type Engine, type EngineOptions } from "../../src/engine.ts";
import type { EventKind, EventOf, TonetapEvent } from "../../src/events/index.ts";
import { kindOf } from "../../src/events/index.ts";
import { type RtpPayload, readRtpPayloads } from "../../src/transport/file/ogg-opus-player.ts";
import { createUdpRtpSource, RtpStream, type UdpRtpSource } from "../../src/transport/index.ts";

export interface Recorder {
  readonly events: TonetapEvent[];
  of<K extends EventKind>(kind: K, participantId?: string): EventOf<K>[];
  /** Resolves with the first event, past or future, that fits. */
  first<K extends EventKind>(kind: K, fits?: (event: EventOf<K>) => boolean): Promise<EventOf<K>>;
}

/** Of services under test: a window that waits for a busy machine is late, and not lost. */
export const PATIENT_MODEL = { device: "cpu", deadlineMs: 60_000 } as const;

export async function openEngine(
  config: ConfigInput = {},
  options: EngineOptions = {},
): Promise<{ engine: Engine; seen: Recorder }> {
  const engine = await createEngine({ ...config, model: { ...PATIENT_MODEL, ...config.model } }, options);
  return { engine, seen: record(engine) };
}

function record(engine: Engine): Recorder {
  const events: TonetapEvent[] = [];
  const waiting = new Set<(event: TonetapEvent) => void>();
  engine.events$.subscribe((event) => {
    events.push(event);
    for (const look of waiting) look(event);
  });
  const isKind = <K extends EventKind>(event: TonetapEvent, kind: K): event is EventOf<K> & TonetapEvent =>
    kindOf(event) === kind;
  const of = <K extends EventKind>(kind: K, participantId?: string): EventOf<K>[] =>
    events.filter(
      (event): event is EventOf<K> & TonetapEvent =>
        isKind(event, kind) &&
        (participantId === undefined ||
          ("participantId" in event.data && event.data.participantId === participantId)),
    );
  return {
    events,
    of,
    first: (kind, fits = () => true) =>
      new Promise((resolve) => {
        const found = of(kind).find(fits);
        if (found !== undefined) {
          resolve(found);
          return;
        }
        const look = (event: TonetapEvent): void => {
          if (!isKind(event, kind) || !fits(event)) return;
          waiting.delete(look);
          resolve(event);
        };
        waiting.add(look);
      }),
  };
}

let named = 0;

/** A name that nobody in the process had: a test that is tried again meets nothing of its first try. */
export const fresh = (name: string): string => `${name}-${++named}`;

/** A UDP source on a free loopback port, attached with consent unless told otherwise. */
export async function attachUdp(
  engine: Engine,
  participantId: string,
  info: Partial<ParticipantInfo> = {},
): Promise<UdpRtpSource> {
  const source = await createUdpRtpSource({ clock: systemClock, host: "127.0.0.1", port: 0 });
  await engine.attach(source, { callId: "test", participantId, consent: "granted", ...info });
  return source;
}

/** Packets of one voice of the bundled call; Anna speaks from 0.5 s on. */
export const recordedFrames = (name: "anna" | "ben"): Promise<RtpPayload[]> =>
  readRtpPayloads(fileURLToPath(new URL(`../../assets/demo/${name}.opus`, import.meta.url)));

/** The frames of the first `ms` of media. */
export function upTo(frames: readonly RtpPayload[], ms: number): RtpPayload[] {
  let ticks = 0;
  return frames.filter(({ durationTicks }) => {
    const before = ticks;
    ticks += durationTicks;
    return before < ms * 48;
  });
}

/** A fresh Opus stream, payload type 111. */
export const opusStream = (): RtpStream => new RtpStream({ codec: OPUS, payloadType: 111 });
