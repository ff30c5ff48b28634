import { once } from "node:events";
import { connect, type Socket } from "node:net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AudioSource } from "../../../src/core/audio-source.ts";
import { TonetapError } from "../../../src/core/errors.ts";
import { resample } from "../../../src/core/resampler.ts";
import {
  AudioSocketFramer,
  audioSocketFrame,
  FRAME,
} from "../../../src/transport/audiosocket/audiosocket-framer.ts";
import {
  type AudioSocketServerOptions,
  createAudioSocketServer,
} from "../../../src/transport/audiosocket/index.ts";
import { bestMatch } from "../../support/correlation.ts";
import { encodeSlin } from "../../support/l16.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { bundledVoice } from "../../support/pcmu.ts";
import { type Listening, listening } from "../sip/listening.ts";
import { pieces } from "../websocket-media/support.ts";

const UUID = "40325ec2-5efd-4bd3-805f-53576e581d13";
const uuidFrame = audioSocketFrame(FRAME.uuid, Buffer.from(UUID.replaceAll("-", ""), "hex"));
const voice = await bundledVoice("anna", 500, 2_000);

interface Call {
  readonly source: AudioSource;
  readonly uuid: string;
  readonly heard: Listening;
}

async function startServer(options: Partial<AudioSocketServerOptions> = {}) {
  const calls: Call[] = [];
  const arrived: (() => void)[] = [];
  const server = await createAudioSocketServer({
    port: 0,
    onCall: async (source, { uuid }) => {
      const heard = await listening();
      heard.listen(source);
      calls.push({ source, uuid, heard });
      for (const look of arrived) look();
    },
    ...options,
  });
  const call = (index = 0): Promise<Call> =>
    new Promise((resolve) => {
      const look = (): void => {
        const found = calls[index];
        if (found !== undefined) resolve(found);
      };
      arrived.push(look);
      look();
    });
  return { server, calls, call, [Symbol.asyncDispose]: () => server.close() };
}

/** Asterisk's end. */
async function dial(port: number, ...frames: readonly Uint8Array[]): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  socket.on("error", () => socket.destroy());
  socket.write(Buffer.concat(frames));
  return socket;
}

/** What came until the end of the connection. */
async function untilEnd(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  socket.on("data", (part) => parts.push(part));
  await once(socket, "close");
  return Buffer.concat(parts);
}

/** 20 ms frames of audio at a rate. */
const audio = (type: number, rateHz: number): Buffer[] =>
  pieces(encodeSlin(resample(voice, 16_000, rateHz)), (2 * rateHz) / 50)
    .slice(0, 100)
    .map((piece) => audioSocketFrame(type, piece));

const gone = async (stats: () => { readonly calls: number }): Promise<void> => {
  while (stats().calls > 0) await new Promise((resolve) => setImmediate(resolve));
};

describe("AudioSocket", () => {
  test.each([
    [0x10, 8_000],
    [0x11, 12_000],
    [0x12, 16_000],
    [0x13, 24_000],
    [0x14, 32_000],
    [0x15, 44_100],
    [0x16, 48_000],
    [0x17, 96_000],
    [0x18, 192_000],
  ])(
    "2 s of frames of type %i, %i Hz, come through with correlation ≥ 0.99, and hangup completes",
    async (type, rateHz) => {
      await using service = await startServer();
      const dtmf = audioSocketFrame(FRAME.dtmf, Buffer.from("5"));
      const silence = audioSocketFrame(FRAME.silence);

      const socket = await dial(
        service.server.address.port,
        uuidFrame,
        dtmf,
        silence,
        ...audio(type, rateHz),
      );
      socket.write(audioSocketFrame(FRAME.hangup));
      const { uuid, heard } = await service.call();
      await heard.completed;

      expect(uuid).toBe(UUID);
      expect(heard.stats).toMatchObject({ received: 100, lost: 0, resets: 0 });
      const reference = resample(resample(voice, 16_000, rateHz), rateHz, 16_000).slice(0, 31_700);
      expect(bestMatch(heard.samples(), reference).correlation).toBeGreaterThan(0.99);
      expect(service.server.stats.malformed).toBe(0);
      expect(await untilEnd(socket)).toEqual(audioSocketFrame(FRAME.hangup));
      await gone(() => service.server.stats);
    },
  );

  test("any way that TCP cuts 20 frames gives the same 20 frames", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(255), fc.uint8Array({ maxLength: 400 })), { minLength: 20, maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1 }),
        (frames, sizes) => {
          const stream = Buffer.concat(frames.map(([type, payload]) => audioSocketFrame(type, payload)));
          const framer = new AudioSocketFramer();
          const got: [number, number[]][] = [];
          for (let at = 0, i = 0; at < stream.length; i++) {
            const size = sizes[i % sizes.length] ?? 1;
            framer.push(
              stream.subarray(at, at + size),
              (type, payload) => got.push([type, [...payload]]) > 0,
            );
            at += size;
          }
          expect(got).toEqual(frames.map(([type, payload]) => [type, [...payload]]));
        },
      ),
      { numRuns: 50 },
    );
  });

  test("a call that is torn completes, one whose Asterisk reports error 2 fails, error 1 is a hangup", async () => {
    await using service = await startServer();
    const torn = await dial(service.server.address.port, uuidFrame, ...audio(0x10, 8_000).slice(0, 2));
    await service.call(0);
    torn.destroy();
    await (await service.call(0)).heard.completed;

    await dial(service.server.address.port, uuidFrame, audioSocketFrame(FRAME.error, Buffer.of(2)));
    await expect((await service.call(1)).heard.completed).rejects.toThrow("Asterisk reports error 2");
    await dial(service.server.address.port, uuidFrame, audioSocketFrame(FRAME.error, Buffer.of(1)));
    await (await service.call(2)).heard.completed;

    expect((await service.call(0)).heard.stats.received).toBe(2);
    await gone(() => service.server.stats);
  });

  test("the owner that closes its source twice hangs up once", async () => {
    await using service = await startServer();
    const socket = await dial(service.server.address.port, uuidFrame);
    const { source, heard } = await service.call();
    const said = untilEnd(socket);

    await Promise.all([source.close(), source.close()]);
    await heard.completed;

    expect(await said).toEqual(audioSocketFrame(FRAME.hangup));
    await gone(() => service.server.stats);
  });

  test("a peer that sends on after our hangup is cut off 1 s later", async () => {
    const clock = new ManualClock();
    await using service = await startServer({ clock });
    const socket = connect({ port: service.server.address.port, host: "127.0.0.1", allowHalfOpen: true });
    await once(socket, "connect");
    socket.on("error", () => socket.destroy());
    socket.write(uuidFrame);
    const { source } = await service.call();
    await source.close();
    await once(socket.resume(), "end");

    socket.write(Buffer.concat(audio(0x10, 8_000)));
    clock.advance(2_000);

    await gone(() => service.server.stats);
    socket.destroy();
  });

  test("an owner that refuses is told to Asterisk as a hangup, and to onError in words", async () => {
    const told: string[] = [];
    await using service = await startServer({
      onCall: () => {
        throw new TonetapError("policy", "policy eu refuses the role agent");
      },
      onError: ({ message }) => told.push(message),
    });

    const socket = await dial(service.server.address.port, uuidFrame);

    expect(await untilEnd(socket)).toEqual(audioSocketFrame(FRAME.hangup));
    expect(told).toEqual(["policy eu refuses the role agent"]);
    expect(service.server.stats).toMatchObject({ accepted: 1, refused: 1 });
  });

  test.each([
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["a UUID of 15 bytes", audioSocketFrame(FRAME.uuid, new Uint8Array(15))],
    ["audio before the UUID", audio(0x10, 8_000)[0] ?? Buffer.alloc(0)],
    ["a frame of 16,385 bytes", Buffer.of(FRAME.uuid, 0x40, 0x01)],
  ])("who begins with %s is cut off, and 0 calls come of it", async (_, bytes) => {
    await using service = await startServer();

    const socket = await dial(service.server.address.port, bytes);
    await once(socket.resume(), "close");
    await gone(() => service.server.stats);

    expect(service.calls).toHaveLength(0);
    expect(service.server.stats.closedAbusive).toBe(1);
  });

  test("8 frames of noise in a row fail the call, 7 do not; another call loses nothing", async () => {
    await using service = await startServer();
    const noise = Array.from({ length: 7 }, (_, i) => audioSocketFrame(0x40 + i, Buffer.of(1, 2, 3)));
    const odd = audioSocketFrame(0x10, new Uint8Array(321));
    const good = audio(0x10, 8_000);
    const other = await dial(service.server.address.port, uuidFrame, ...good.slice(0, 50));
    other.resume();
    await service.call(0);
    await dial(service.server.address.port, uuidFrame, ...noise, ...good.slice(0, 1), ...noise, odd);

    const { heard } = await service.call(1);
    await expect(heard.completed).rejects.toThrow("AudioSocket: audio of 321 bytes");
    other.write(Buffer.concat([...good.slice(50), audioSocketFrame(FRAME.hangup)]));
    await (await service.call(0)).heard.completed;

    expect(heard.stats.received).toBe(1);
    expect((await service.call(0)).heard.stats).toMatchObject({ received: 100, lost: 0 });
    expect(service.server.stats).toMatchObject({ malformed: 15, closedAbusive: 1 });
  });

  test("10,001 frames at once are too many", async () => {
    const clock = new ManualClock();
    await using service = await startServer({ clock });
    const keys = Array.from({ length: 10_000 }, () => audioSocketFrame(FRAME.dtmf, Buffer.from("1")));

    await dial(service.server.address.port, uuidFrame, ...keys);
    const { heard } = await service.call();

    await expect(heard.completed).rejects.toThrow("more than 1000 frames a second");
  });

  test("who says no UUID for 5 s is cut off, who says nothing for 30 s has left", async () => {
    const clock = new ManualClock();
    await using service = await startServer({ clock });
    const nameless = await dial(service.server.address.port);
    await dial(service.server.address.port, uuidFrame);
    const { source, heard } = await service.call();

    clock.advance(5_000);
    await once(nameless.resume(), "close");
    expect(source.timedOut).toBe(false);
    clock.advance(25_000);
    await heard.completed;

    expect(source.timedOut).toBe(true);
    expect(service.server.stats.closedSilent).toBe(2);
    await gone(() => service.server.stats);
  });

  test("the 2nd of 1 call is closed; close() in mid-call hangs up and completes", async () => {
    const service = await startServer({ maxCalls: 1 });
    const first = await dial(service.server.address.port, uuidFrame);
    const { heard } = await service.call();
    const second = await dial(service.server.address.port, uuidFrame);
    await once(second.resume(), "close");
    const said = untilEnd(first);

    await Promise.all([service.server.close(), service.server.close()]);

    await heard.completed;
    expect(await said).toEqual(audioSocketFrame(FRAME.hangup));
    expect(service.server.stats).toMatchObject({ calls: 0, accepted: 1, refused: 1 });
  });

  test("a port that is taken is said: unavailable, with its number", async () => {
    await using service = await startServer();
    const { port } = service.server.address;

    const taken = createAudioSocketServer({ port, onCall: () => undefined });

    await expect(taken).rejects.toMatchObject({ code: "unavailable" });
    await expect(taken).rejects.toThrow(`AudioSocket port 127.0.0.1:${port}`);
  });
});
