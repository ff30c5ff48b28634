/** Every source of ours keeps the contract that others are asked to keep. mediasoup's is in test/peers. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { expect, test } from "vitest";
import { RTCPeerConnection, useAudioLevelIndication, useOPUS } from "werift";
import { sourceFromSocket } from "../../examples/tcp-mulaw-source.ts";
import {
  type ConformanceOptions,
  checkAudioSource,
  type SourceUnderTest,
} from "../../src/conformance/index.ts";
import type { AudioSource } from "../../src/core/audio-source.ts";
import { systemClock } from "../../src/core/clock.ts";
import { TonetapError } from "../../src/core/errors.ts";
import { PCMU } from "../../src/core/rtp.ts";
import { VirtualClock } from "../../src/core/virtual-clock.ts";
import { audioSocketFrame, FRAME } from "../../src/transport/audiosocket/audiosocket-framer.ts";
import { createAudioSocketServer } from "../../src/transport/audiosocket/index.ts";
import { FileSource } from "../../src/transport/file/file-source.ts";
import {
  createUdpRtpServer,
  createUdpRtpSource,
  DEFAULT_UDP_CODECS,
  RtpStream,
  type UdpAddress,
} from "../../src/transport/index.ts";
import { SipSource } from "../../src/transport/sip/sip-source.ts";
import { attachPeer, createWhipEndpoint } from "../../src/transport/werift/index.ts";
import { encodeOpus } from "../support/opus-encoding.ts";
import { speechLike } from "../support/speech-like.ts";
import { wav } from "../support/wav.ts";
import { eventually, Peer as UdpPeer } from "../transport/loopback.ts";
import { opusPayload } from "../transport/packets.ts";
import { type Peer, startMedia, trackMedia, twilio } from "../transport/websocket-media/support.ts";
import { ask, createPublisher, LOOPBACK } from "../transport/werift/whip-peer.ts";

const FRAMES = Array.from({ length: 12 }, (_, i) => new Uint8Array(160).fill(i + 1));

async function expectConformance(
  create: () => Promise<SourceUnderTest>,
  options: ConformanceOptions = {},
): Promise<void> {
  const report = await checkAudioSource(create, { timeoutMs: 30_000, quietMs: 30, ...options });
  expect(report.passed, report.text).toBe(true);
  expect(report.checks).toHaveLength(13);
}

/** A UDP peer that sends 12 PCMU packets a time, a sender report and, at the end, BYE. */
async function rtpPeer(to: UdpAddress) {
  const peer = await UdpPeer.open();
  const stream = new RtpStream({ codec: PCMU, payloadType: 0, ssrc: 7 });
  return {
    send: async () => {
      for (const payload of FRAMES) await peer.send(stream.packet({ payload }), to);
      await peer.send(stream.report(systemClock.wall(), stream.elapsedTicks), to);
    },
    bye: () => peer.send(stream.bye(systemClock.wall(), stream.elapsedTicks), to),
    dispose: () => peer[Symbol.asyncDispose](),
  };
}

test("a UDP port of one peer's: 13 checks", async () => {
  await expectConformance(async () => {
    const source = await createUdpRtpSource({});
    const { send, bye, dispose } = await rtpPeer(source.address);
    return {
      source,
      send,
      leave: bye,
      dispose,
      fail: () => source.fail(new TonetapError("unavailable", "gone")),
    };
  });
});

test("one peer of a shared UDP port: 13 checks", async () => {
  await expectConformance(async () => {
    const server = await createUdpRtpServer({});
    const peer = await rtpPeer(server.address);
    const source = server.source(7);
    const dispose = async (): Promise<void> => {
      await Promise.all([peer.dispose(), server.close()]);
    };
    return { source, send: peer.send, leave: peer.bye, dispose };
  });
});

test("a SIP leg: 13 checks", async () => {
  await expectConformance(async () => {
    const source = await SipSource.open({
      clock: systemClock,
      host: "127.0.0.1",
      port: 0,
      rtcp: "same-port",
      mediaPeer: "signalled",
      signallingHost: "127.0.0.1",
      onEnd: () => undefined,
    });
    const { send, dispose } = await rtpPeer(source.address);
    await source.agree({
      announced: { host: "127.0.0.1", port: 9 },
      codecs: DEFAULT_UDP_CODECS,
      onHold: false,
    });
    // RTCP's BYE ends a stream, not a call; SIP's comes by another way.
    return { source, send, dispose };
  });
});

test("a WHIP publisher: 13 checks", async () => {
  await expectConformance(async () => {
    const opened = Promise.withResolvers<AudioSource>();
    const endpoint = createWhipEndpoint({ ...LOOPBACK, onSession: (source) => opened.resolve(source) });
    const publisher = await createPublisher();
    const { body, headers } = await ask(endpoint, "POST", "/whip", { body: publisher.offer });
    const source = await opened.promise;
    let sequence = 0;
    const connected = publisher.connect(body);
    return {
      source,
      send: async () => {
        // A source that is closed never connects.
        await Promise.race([connected, eventually(() => endpoint.sessionCount === 0)]);
        for (let i = 0; i < 12; i++) publisher.send(sequence, opusPayload(sequence++));
      },
      leave: async () => {
        await ask(endpoint, "DELETE", headers.location ?? "");
      },
      dispose: async () => {
        await Promise.all([publisher.close(), endpoint.close()]);
      },
    };
  });
});

test("a track of a program's own werift connection, by attachPeer: 13 checks", async () => {
  await expectConformance(async () => {
    const publisher = await createPublisher();
    const peer = new RTCPeerConnection({
      iceServers: [],
      ...LOOPBACK,
      codecs: { audio: [useOPUS()] },
      headerExtensions: { audio: [useAudioLevelIndication()] },
    });
    await peer.setRemoteDescription({ type: "offer", sdp: publisher.offer });
    for (const { connection } of peer.iceTransports) delete connection.stunServer;
    await peer.setLocalDescription(await peer.createAnswer());
    const source = attachPeer(peer);
    const connected = publisher.connect(peer.localDescription?.sdp ?? "");
    let sequence = 0;
    return {
      source,
      send: async () => {
        await connected;
        for (let i = 0; i < 12; i++) publisher.send(sequence, opusPayload(sequence++));
      },
      leave: () => peer.close(),
      dispose: async () => {
        await Promise.all([publisher.close(), peer.close()]);
      },
    };
  });
});

test("a recording: 13 checks, on its virtual clock", async () => {
  const clock = new VirtualClock(systemClock.wall());
  const recording = wav([speechLike({ seconds: 0.5, spurts: [[0, 0.5]] })], 16_000, 16);
  await expectConformance(
    async () => {
      const source = new FileSource(recording, { clock });
      // Its end is the end of the file.
      return { source, send: () => source.play(), leave: async () => undefined };
    },
    { clock: { ...systemClock, now: () => clock.now() } },
  );
});

test("a track of Media Streams, a channel of AudioHook, an endpoint of Jitsi's: 13 checks each", async () => {
  const opus = await encodeOpus(speechLike({ seconds: 0.3, spurts: [[0, 0.3]] }));
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

  const dialects: readonly [string, (peer: Peer) => unknown, (peer: Peer, round: number) => void][] = [
    [
      "twilio",
      (peer) => peer.send(twilio.start()),
      (peer, round) => peer.send(...trackMedia("inbound", FRAMES, round * FRAMES.length)),
    ],
    [
      "audiohook",
      (peer) => {
        peer.send({
          version: "2",
          id: "s",
          type: "open",
          seq: 1,
          serverseq: 0,
          position: "PT0S",
          parameters: {
            organizationId: "o",
            conversationId: "c",
            participant: { id: "p", aniName: "" },
            media: [{ type: "audio", format: "PCMU", channels: ["external"], rate: 8000 }],
          },
        });
        return peer.said("opened");
      },
      (peer) => peer.socket.send(Buffer.concat(FRAMES)),
    ],
    [
      "jitsi",
      (peer) => {
        peer.send({
          event: "start",
          start: { tag: "a-1", mediaFormat: { encoding: "opus", sampleRate: 48_000, channels: 2 } },
        });
        // The bridge tells of a speaker with their first word.
        peer.send({
          event: "media",
          media: { tag: "a-1", chunk: 0, timestamp: 0, payload: base64(opus[0] ?? new Uint8Array()) },
        });
      },
      (peer, round) => {
        for (let i = 1; i < opus.length; i++) {
          const chunk = round * opus.length + i;
          const payload = base64(opus[i] ?? new Uint8Array());
          peer.send({ event: "media", media: { tag: "a-1", chunk, timestamp: chunk * 960, payload } });
        }
      },
    ],
  ];
  for (const [name, begin, speak] of dialects) {
    await expectConformance(async () => {
      const opened = Promise.withResolvers<AudioSource>();
      const service = await startMedia({ onVoice: (source) => opened.resolve(source), closeGraceMs: 50 });
      const peer = await service.peer(`/v1/media/${name}`);
      await begin(peer);
      let round = 0;
      return {
        source: await opened.promise,
        send: async () => speak(peer, round++),
        leave: async () => peer.socket.close(),
        dispose: async () => {
          peer.socket.terminate();
          await service[Symbol.asyncDispose]();
        },
      };
    });
  }
});

test("a call of Asterisk's by AudioSocket: 13 checks", async () => {
  await expectConformance(async () => {
    const opened = Promise.withResolvers<AudioSource>();
    const server = await createAudioSocketServer({ port: 0, onCall: (source) => opened.resolve(source) });
    const socket = connect(server.address.port, server.address.host).resume();
    await once(socket, "connect");
    const write = (...frames: readonly Uint8Array[]): Promise<void> =>
      new Promise((resolve) => socket.write(Buffer.concat(frames), () => resolve()));
    socket.on("error", () => socket.destroy());
    await write(audioSocketFrame(FRAME.uuid, new Uint8Array(16)));
    return {
      source: await opened.promise,
      send: () => write(...FRAMES.map((frame) => audioSocketFrame(0x10, Buffer.concat([frame, frame])))),
      leave: () => write(audioSocketFrame(FRAME.hangup)),
      fail: () => write(audioSocketFrame(FRAME.error, Uint8Array.of(4))),
      dispose: async () => {
        socket.destroy();
        await server.close();
      },
    };
  });
});

test("the source that examples/ tells users to begin with: 13 checks, in 30 lines", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;

  await expectConformance(async () => {
    const arrival = once(server, "connection");
    const peer = connect(port, "127.0.0.1").on("error", () => peer.destroy());
    const [socket] = (await arrival) as [Socket];
    return {
      source: sourceFromSocket(socket),
      send: () => new Promise((resolve) => peer.write(Buffer.concat(FRAMES), () => resolve())),
      leave: async () => void peer.end(),
      fail: async () => void socket.destroy(new TonetapError("unavailable", "cable cut")),
      dispose: async () => void peer.destroy(),
    };
  });
  server.close();

  const text = readFileSync(new URL("../../examples/tcp-mulaw-source.ts", import.meta.url), "utf8");
  const body = text.slice(text.indexOf("export function"), text.indexOf("\n}\n"));
  expect(body.split("\n").length).toBeLessThanOrEqual(30);
});
