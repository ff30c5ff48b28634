/** The example's room with known speech for its pages' microphones, and a second tap that keeps the packets. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { CloseStack } from "../../../src/core/lifecycle.ts";
import { resample } from "../../../src/core/resampler.ts";
import type { RtpPacket } from "../../../src/core/rtp.ts";
import { PIPELINE_RATE_HZ } from "../../../src/core/units.ts";
import type { Engine, TonetapEvent } from "../../../src/index.ts";
import { createOpusDecoder } from "../../../src/stream/opus-decoder.ts";
import { readAudioFile } from "../../../src/transport/file/audio-file.ts";
import { attachRouter, type MediasoupRouter } from "../../../src/transport/mediasoup/index.ts";
import { bestMatch, opusHighPass } from "../../support/correlation.ts";
import { type Collected, collect } from "./support.ts";

const PAGE_RATE_HZ = 48_000;
/** Two sentences, and half a second before them. */
const SPEECH_S = 7;
const TICKS_PER_SAMPLE = 48_000 / PIPELINE_RATE_HZ;
const PEERS = fileURLToPath(new URL("../node_modules", import.meta.url));
const CLIENT = fileURLToPath(new URL("../../../src/client/index.ts", import.meta.url));

/** Whose voice can be had, from where in the bundled call: Anna's first sentences, Ben where he is angry. */
const SPEECHES = { anna: 0, ben: 29 } as const;
export type Speech = keyof typeof SPEECHES;

/** Gives a page a microphone that says a speech when `speak(name)` is called, and nothing else: no echo canceller. */
const microphone = (url: string): string => `
  const context = new AudioContext({ sampleRate: ${PAGE_RATE_HZ} });
  const microphone = context.createMediaStreamDestination();
  microphone.channelCount = 1;
  const devices = navigator.mediaDevices;
  const camera = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async ({ video }) => {
    const tracks = window.hasCamera && video ? (await camera({ video })).getTracks() : [];
    return new MediaStream([...microphone.stream.getTracks(), ...tracks]);
  };
  window.speak = async (name = "anna") => {
    const pcm = new Float32Array(await (await fetch("${url}" + name)).arrayBuffer());
    const buffer = context.createBuffer(1, pcm.length, ${PAGE_RATE_HZ});
    buffer.copyToChannel(pcm, 0);
    const player = context.createBufferSource();
    player.buffer = buffer;
    player.connect(microphone);
    const ended = new Promise((resolve) => { player.onended = resolve; });
    player.start();
    await ended;
  };`;

interface Served {
  readonly url: string;
  readonly engine: Engine;
  readonly router: MediasoupRouter & {
    dump(): Promise<{ transportIds: string[]; mapConsumerIdProducerId: object[] }>;
  };
  close(): Promise<void>;
}

export class ExampleRoom implements AsyncDisposable {
  readonly url: string;
  readonly engine: Engine;
  /** For pages, before their own scripts. */
  readonly preload: string;
  readonly #router: Served["router"];
  readonly #speech: Float32Array;
  readonly #heard = new Map<string, Collected>();
  readonly #events: TonetapEvent[] = [];
  readonly #resources: CloseStack;

  private constructor(served: Served, preload: string, speech: Float32Array, resources: CloseStack) {
    this.url = served.url;
    this.engine = served.engine;
    this.preload = preload;
    this.#router = served.router;
    this.#speech = speech;
    this.#resources = resources;
    served.engine.events$.subscribe((event) => this.#events.push(event));
    attachRouter(
      {
        attach: async (source, { participantId }) => {
          this.#heard.set(participantId, collect(source));
          return source;
        },
      },
      served.router,
      {
        graceMs: 0,
        participantOf: ({ appData }) => ({ callId: "packets", participantId: String(appData.name) }),
      },
    );
  }

  /** @param announcedAddress where browsers reach mediasoup. */
  static async open(announcedAddress: string): Promise<ExampleRoom> {
    const resources = new CloseStack();
    const speeches = new Map<string, Float32Array>();
    for (const [name, fromS] of Object.entries(SPEECHES)) {
      const file = await readAudioFile(
        fileURLToPath(new URL(`../../../assets/demo/${name}.opus`, import.meta.url)),
      );
      const whole = resample(file.samples, file.sampleRateHz, PAGE_RATE_HZ);
      speeches.set(name, whole.slice(fromS * PAGE_RATE_HZ, (fromS + SPEECH_S) * PAGE_RATE_HZ));
    }
    const speech = speeches.get("anna") ?? new Float32Array();
    const url = await serve(speeches, resources);
    // Plain JavaScript, as users run it.
    const path = "../../../examples/mediasoup-room/server.js";
    const { openRoom } = (await import(path)) as { openRoom(options: object): Promise<Served> };
    const bundle = { nodePaths: [PEERS], alias: { "tonetap/client": CLIENT } };
    const served = resources.use(
      "room",
      await openRoom({ port: 0, tonetapPort: 0, announcedAddress, bundle }),
    );
    return new ExampleRoom(served, microphone(url), speech, resources);
  }

  of(type: TonetapEvent["type"], name: string): TonetapEvent[] {
    return this.#events.filter(
      (event) => event.type === type && "participantId" in event.data && event.data.participantId === name,
    );
  }

  /** What came through from someone; empty before he came. */
  packets(name: string): readonly RtpPacket[] {
    return this.#heard.get(name)?.packets ?? [];
  }

  /** How well what came through matches the speech, and the Opus configurations (RFC 6716 table 2) it came in. */
  async match(name: string): Promise<{ correlation: number; configurations: Set<number> }> {
    const { audio, configurations } = await decode(this.packets(name));
    const reference = opusHighPass(resample(this.#speech, PAGE_RATE_HZ, PIPELINE_RATE_HZ), PIPELINE_RATE_HZ);
    return { correlation: bestMatch(audio, reference).correlation, configurations };
  }

  /** What mediasoup's worker itself says is there. */
  async left(): Promise<{ transports: number; consumers: number }> {
    const { transportIds, mapConsumerIdProducerId } = await this.#router.dump();
    return { transports: transportIds.length, consumers: mapConsumerIdProducerId.length };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#resources.close();
  }
}

/** Serves `/NAME` to any page. */
async function serve(speeches: ReadonlyMap<string, Float32Array>, resources: CloseStack): Promise<string> {
  const server = createServer(({ url = "" }, response) => {
    const speech = speeches.get(url.slice(1)) ?? new Float32Array();
    response.writeHead(200, { "Access-Control-Allow-Origin": "*" }).end(new Uint8Array(speech.buffer));
  });
  resources.defer("speech", () => {
    server.close();
    server.closeAllConnections();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

/** Opus → PCM at the pipeline's rate on the packets' own time line, and the configurations that were used. */
async function decode(
  packets: readonly RtpPacket[],
): Promise<{ audio: Float32Array; configurations: Set<number> }> {
  const decoder = await createOpusDecoder();
  const configurations = new Set<number>();
  const first = packets[0]?.timestamp ?? 0;
  const pieces: { at: number; samples: Float32Array }[] = [];
  for (const { payload, timestamp } of packets) {
    if (payload.length > 0) configurations.add((payload[0] ?? 0) >> 3);
    const samples = decoder.decode(payload);
    if (samples !== undefined) pieces.push({ at: ((timestamp - first) >>> 0) / TICKS_PER_SAMPLE, samples });
  }
  decoder.close();
  // Silence before and behind, so that the reference fits wherever it lies.
  const end = Math.max(...pieces.map(({ at, samples }) => at + samples.length));
  const audio = new Float32Array(end + 2 * PIPELINE_RATE_HZ);
  for (const { at, samples } of pieces) audio.set(samples, PIPELINE_RATE_HZ + at);
  return { audio, configurations };
}
