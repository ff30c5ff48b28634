/**
 * The literal wiring, for comparison: one socket, werift's RTP parser and jitter buffer, one opus-decoder and meyda a
 * participant, one TensorFlow.js prediction a window, JSON over WebSocket, all in one thread. Measuring is
 * live/subject.ts; the model is tfjs-model.ts.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { RtpPacket } from "werift";
import { JitterBufferCallback } from "werift/nonstandard";
import { WebSocketServer } from "ws";
import { systemClock } from "../../src/core/clock.ts";
import { TonetapError } from "../../src/core/errors.ts";
import { findModel, loadModelPackage } from "../../src/inference/index.ts";
import { HOP_MS, OPUS_PAYLOAD_TYPE, SSRC_BASE } from "../live/protocol.ts";
import { type Subject, type SubjectProbe, serveSubject } from "../live/subject.ts";
import { NaiveFeatures } from "./naive-features.ts";
import { createOpusDecoder, type OpusDecoder } from "./opus-decoder.ts";
import { createTfjsModel } from "./tfjs-model.ts";

const RECEIVE_BUFFER_BYTES = 4 << 20;
const WASM_FOLDER = fileURLToPath(
  new URL("./node_modules/@tensorflow/tfjs-backend-wasm/dist/", import.meta.url),
);
/** Where the manifest does not say, the default model's. */
const USUAL_MULTIPLY_ADDS = 24e6;

interface Participant {
  readonly jitter: JitterBufferCallback;
  readonly decoder: OpusDecoder;
  readonly features: NaiveFeatures;
  arrivalMs: number;
}

async function open(probe: SubjectProbe): Promise<Subject> {
  const { manifest } = await loadModelPackage(await findModel("tonetap-base"));
  const { labels, features: spec, window } = manifest;
  const network = manifest.metrics.network as { multiplyAddsPerWindow?: number } | undefined;
  const model = await createTfjsModel(
    {
      frames: window.frames,
      channels: new NaiveFeatures(spec, window.frames, HOP_MS).channels,
      labels: labels.length,
      multiplyAdds: network?.multiplyAddsPerWindow ?? USUAL_MULTIPLY_ADDS,
    },
    WASM_FOLDER,
  );
  const participants = new Map<number, Participant>();
  let receivedPackets = 0;
  let lostPackets = 0;
  let windows = 0;

  const events = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await once(events, "listening");

  const judge = (number: number, participant: Participant): void => {
    const probabilities = model.predict(participant.features.window());
    const scores = Object.fromEntries(labels.map((label, i) => [label, probabilities[i] ?? 0]));
    const latencyMs = systemClock.now() - participant.arrivalMs;
    const json = JSON.stringify({
      type: "emotion",
      participantId: number,
      index: windows++,
      scores,
      latencyMs,
    });
    for (const client of events.clients) client.send(json);
    probe.event(number, participant.arrivalMs);
  };

  const socket = createSocket({ type: "udp4", recvBufferSize: RECEIVE_BUFFER_BYTES });
  socket.on("message", (datagram) => {
    const rtp = RtpPacket.deSerialize(datagram);
    const number = rtp.header.ssrc - SSRC_BASE;
    const participant = participants.get(number);
    if (participant === undefined || rtp.header.payloadType !== OPUS_PAYLOAD_TYPE) return;
    receivedPackets++;
    participant.arrivalMs = systemClock.now();
    probe.packet(number, rtp.header.timestamp, participant.arrivalMs);
    participant.jitter.input({ rtp });
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");

  return {
    description: {
      rtp: { host: "127.0.0.1", port: socket.address().port },
      events: `ws://127.0.0.1:${(events.address() as AddressInfo).port}`,
      backend: `tfjs ${model.backend}, ${(model.multiplyAdds / 1e6).toFixed(1)} M multiply-adds a window`,
    },
    stages: STAGES,
    counts: () => ({
      receivedPackets,
      lostPackets,
      droppedWindows: 0,
      batches: windows,
      batchedWindows: windows,
    }),
    async attach(number) {
      const participant: Participant = {
        jitter: new JitterBufferCallback(48_000),
        decoder: await createOpusDecoder(),
        features: new NaiveFeatures(spec, window.frames, HOP_MS),
        arrivalMs: 0,
      };
      participant.jitter.pipe(({ rtp, isPacketLost }) => {
        if (isPacketLost !== undefined) {
          lostPackets += ((isPacketLost.to - isPacketLost.from) & 0xffff) + 1;
        }
        if (rtp === undefined) return;
        const { channelData, samplesDecoded } = participant.decoder.decodeFrame(rtp.payload);
        const samples = channelData[0]?.subarray(0, samplesDecoded);
        if (samples === undefined) throw new TonetapError("media", "opus-decoder gave no channel");
        if (participant.features.push(samples)) judge(number, participant);
      });
      participants.set(number, participant);
      return undefined;
    },
    async detach(number) {
      const participant = participants.get(number);
      participants.delete(number);
      participant?.jitter.destroy();
      participant?.decoder.free();
    },
    async close() {
      socket.close();
      events.close();
    },
  };
}

const STAGES = [
  ["receive and RTP parse", /^node:dgram$/],
  ["jitter buffer", /\/node_modules\/werift\//],
  ["Opus decode", /\/node_modules\/(opus-decoder|@wasm-audio-decoders)\//],
  ["features", /\/node_modules\/(meyda|fftjs|dct)\/|\/naive-features\.ts$/],
  ["inference", /\/node_modules\/@tensorflow\//],
  ["events", /\/node_modules\/ws\//],
  ["measuring", /\/bench\/live\//],
] as const;

await serveSubject(open);
