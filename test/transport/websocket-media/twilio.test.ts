import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TonetapError } from "../../../src/core/errors.ts";
import { ChunkClock } from "../../../src/transport/websocket-media/chunk-clock.ts";
import { bestMatch } from "../../support/correlation.ts";
import { encodeSlin } from "../../support/l16.ts";
import { encodeOpus } from "../../support/opus-encoding.ts";
import { bundledVoice, telephoneVoice } from "../../support/pcmu.ts";
import { CALL_SID, pieces, STREAM_SID, startMedia, trackMedia, twilio } from "./support.ts";

const PATH = "/v1/media/twilio";
const anna = await telephoneVoice("anna", 500, 2_000);
const ben = await telephoneVoice("ben", 7_300, 2_000);
const annaFrames = pieces(anna.pcmu, 160);
const benFrames = pieces(ben.pcmu, 160);

describe("Twilio Media Streams", () => {
  test("the published sequence with 2 tracks gives 2 participants, each with correlation ≥ 0.99", async () => {
    await using service = await startMedia();
    const peer = await service.peer(PATH);

    peer.send(
      twilio.connected,
      twilio.start(
        {
          role: "customer",
          consent: "granted",
          name: "Jane",
          OutboundRole: "agent",
          outboundParticipant: "desk",
        },
        ["inbound", "outbound"],
      ),
      twilio.dtmf,
      twilio.mark,
    );
    annaFrames.forEach((frame, i) => {
      peer.send(twilio.media("inbound", i + 1, frame));
      peer.send(twilio.media("outbound", i + 1, benFrames[i] ?? frame));
    });
    peer.send(twilio.stop);
    const [inbound, outbound] = await service.arrived(2);
    await Promise.all([inbound?.heard.completed, outbound?.heard.completed]);

    expect(inbound?.participant).toEqual({
      callId: CALL_SID,
      participantId: "inbound",
      role: "customer",
      consent: "granted",
      displayName: "Jane",
    });
    expect(outbound?.participant).toEqual({ callId: CALL_SID, participantId: "desk", role: "agent" });
    expect(inbound?.heard.stats).toMatchObject({ received: 100, lost: 0, reordered: 0 });
    expect(
      bestMatch(inbound?.heard.samples() ?? new Float32Array(), anna.reference16k.slice(0, 31_900))
        .correlation,
    ).toBeGreaterThan(0.99);
    expect(
      bestMatch(outbound?.heard.samples() ?? new Float32Array(), ben.reference16k.slice(0, 31_900))
        .correlation,
    ).toBeGreaterThan(0.99);
    expect(await peer.closed).toEqual({ code: 1000, reason: "stopped" });
    await service.empty();
    expect(service.media.stats).toMatchObject({ malformed: 0, connections: 0, accepted: 1 });
  });

  test("100 chunks that come in pairs swapped and 5 of them doubled are heard once each, in order", async () => {
    await using service = await startMedia();
    const peer = await service.peer(PATH);
    peer.send(twilio.connected, twilio.start());

    for (let i = 0; i < annaFrames.length; i += 2) {
      for (const at of i % 20 === 0 ? [i, i + 1, i] : [i + 1, i]) {
        peer.send(twilio.media("inbound", at + 1, annaFrames[at] ?? new Uint8Array()));
      }
    }
    peer.send(twilio.stop);
    const [voice] = await service.arrived(1);
    await voice?.heard.completed;

    expect(voice?.heard.stats).toMatchObject({ lost: 0, duplicate: 5, late: 0 });
    const match = bestMatch(voice?.heard.samples() ?? new Float32Array(), anna.reference16k.slice(0, 31_900));
    expect(match.correlation).toBeGreaterThan(0.99);
  });

  test("a track that was on hold for 5 s goes on 5 s later: its time comes from the timestamp", async () => {
    await using service = await startMedia();
    const peer = await service.peer(PATH);
    peer.send(twilio.start());
    const first = annaFrames.slice(0, 50);
    peer.send(...trackMedia("inbound", first));
    peer.send(...first.map((frame, i) => twilio.media("inbound", i + 51, frame, 6_000 + i * 20)));
    const [voice] = await service.arrived(1);
    peer.send(twilio.stop);
    await voice?.heard.completed;

    expect(voice?.heard.stats).toMatchObject({ received: 100, lost: 0, resets: 0 });
    expect(voice?.heard.endMs()).toBe(7_000);
  });

  test.each([
    ["Telnyx, PCMA", { encoding: "PCMA", sample_rate: 8000, channels: 1 }],
    ["Telnyx, L16 at 16 kHz", { encoding: "L16", sample_rate: 16_000, channels: 1 }],
    ["Telnyx, Opus", { encoding: "OPUS", sample_rate: 16_000, channels: 1 }],
  ])("%s: 2 s come through in the codec that start names", async (_, media_format) => {
    const voice = await bundledVoice("anna", 500, 2_000);
    const frames =
      media_format.encoding === "L16"
        ? pieces(encodeSlin(voice), 640)
        : media_format.encoding === "OPUS"
          ? await encodeOpus(voice)
          : pieces(anna.pcmu, 160).map((frame) => frame.map(muToA));
    await using service = await startMedia();
    // Who connects has 10 s to say who speaks: all is ready by then.
    const peer = await service.peer(`${PATH}?role=customer&consent=granted`);
    const stream_id = "32DE0DEA-53CB-4B21-89A4-9E1819C043BC";
    const call_control_id = "v2:T02llQxIyaRkhfRKxgAP8nY511EhFLizdvdUKJiSw8d6A9BborherQ";

    // Telnyx's page "Stream call media over WebSocket": nothing says which tracks there are.
    peer.send(
      { event: "connected", version: "1.0.0" },
      {
        event: "start",
        sequence_number: "1",
        stream_id,
        start: {
          user_id: "3E6F995F-85F7-4705-9741-53B116D28237",
          call_control_id,
          from: "+13122010094",
          to: "+13122123456",
          tags: ["TAG1"],
          client_state: "aGF2ZSBhIG5pY2UgZGF5ID1d",
          custom_parameters: { customer_id: "customer_123" },
          media_format,
        },
      },
    );
    peer.send(
      ...frames.map((frame, i) => ({
        event: "media",
        sequence_number: String(i + 4),
        media: {
          track: "inbound",
          chunk: String(i + 2),
          timestamp: String(5 + i * 20),
          payload: Buffer.from(frame).toString("base64"),
        },
        stream_id,
      })),
    );
    peer.send({ event: "stop", sequence_number: "900", stop: { call_control_id }, stream_id });
    const [heard] = await service.arrived(1);
    await heard?.heard.completed;

    expect(heard?.participant).toEqual({
      callId: call_control_id,
      participantId: "inbound",
      role: "customer",
      consent: "granted",
    });
    const samples = heard?.heard.samples() ?? new Float32Array();
    const reference = media_format.encoding === "PCMA" ? anna.reference16k : voice;
    const floor = media_format.encoding === "OPUS" ? 0.9 : 0.99;
    expect(bestMatch(samples, reference.slice(0, 31_000)).correlation).toBeGreaterThan(floor);
    expect(service.media.stats.malformed).toBe(0);
  });

  test("G722 is refused with 1003 and the 3 formats that are taken", async () => {
    await using service = await startMedia();
    const peer = await service.peer(PATH);

    peer.send(twilio.start({}, ["inbound"], { encoding: "G722", sampleRate: 8000 }));

    const { code, reason } = await peer.closed;
    expect(code).toBe(1003);
    expect(reason).toContain("mulaw or alaw at 8000 Hz, L16");
    expect(service.voices).toHaveLength(0);
  });

  test("an agent whom the policy refuses is left alone while 1 customer is heard; alone, the stream is closed", async () => {
    await using service = await startMedia({
      admitVoice: ({ role }) => {
        if (role === "agent") throw new TonetapError("policy", "policy eu refuses the role agent");
      },
    });
    const both = await service.peer(PATH);
    both.send(twilio.start({ role: "customer", outboundRole: "agent" }, ["inbound", "outbound"]));
    both.send(...trackMedia("outbound", annaFrames));
    both.send(...trackMedia("inbound", annaFrames));
    const [voice] = await service.arrived(1);
    both.send(twilio.stop);
    await voice?.heard.completed;

    const alone = await service.peer(PATH);
    alone.send(twilio.start({ role: "agent" }));

    expect(await alone.closed).toEqual({ code: 1008, reason: "policy eu refuses the role agent" });
    expect(voice?.heard.stats.received).toBe(100);
    expect(service.voices).toHaveLength(1);
    expect(service.media.stats.refusedVoices).toBe(2);
  });

  test.each([
    ["role=boss", "role must be one of customer"],
    ["consnet=granted", 'there is no parameter "consnet"'],
  ])("a query of %s is refused in words", async (query, words) => {
    await using service = await startMedia();
    const peer = await service.peer(`${PATH}?${query}`);

    peer.send(twilio.start());

    const { code, reason } = await peer.closed;
    expect(code).toBe(1008);
    expect(reason).toContain(words);
  });

  test("the owner that closes the last of 2 voices ends the stream, not the first", async () => {
    await using service = await startMedia();
    const peer = await service.peer(PATH);
    peer.send(twilio.start({}, ["inbound", "outbound"]));
    const [first, second] = await service.arrived(2);

    await first?.source.close();
    await first?.source.close();
    peer.send(twilio.media("inbound", 1, annaFrames[0] ?? new Uint8Array()));
    peer.send(twilio.media("outbound", 1, annaFrames[0] ?? new Uint8Array()));
    expect(peer.socket.readyState).toBe(peer.socket.OPEN);
    await second?.source.close();

    expect(await peer.closed).toEqual({ code: 1000, reason: "detached" });
    await service.empty();
    expect(service.media.stats).toMatchObject({ connections: 0, malformed: 0 });
  });

  test("of 200 damaged messages each is counted or taken, and a neighbour's stream loses nothing", async () => {
    await using service = await startMedia();
    const neighbour = await service.peer(PATH);
    neighbour.send(twilio.start());
    const good = JSON.stringify(twilio.media("inbound", 1, annaFrames[0] ?? new Uint8Array()));

    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.constantFrom("", '"', "}", "\u0000", "9")), {
          minLength: 10,
          maxLength: 10,
        }),
        async (cuts) => {
          const peer = await service.peer(PATH);
          peer.send(twilio.start());
          for (const [at, char] of cuts) peer.socket.send(good.slice(0, at) + char + good.slice(at + 1));
          peer.send(twilio.stop);
          // 1000 after stop, 1008 after 8 errors in a row: never 1011, never a crash.
          expect([1000, 1008]).toContain((await peer.closed).code);
        },
      ),
      { numRuns: 20 },
    );
    neighbour.send(...trackMedia("inbound", annaFrames));
    neighbour.send(twilio.stop);
    const voice = service.voices[0];
    await voice?.heard.completed;
    await service.empty();

    expect(voice?.heard.stats).toMatchObject({ received: 100, lost: 0 });
  });
});

describe("ChunkClock", () => {
  test("takes 20 ms a chunk although timestamps jitter by up to 100 ms, in any order", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 3, maxLength: 200 }), (jitter) => {
        const clock = new ChunkClock(8_000);
        const first = clock.ticksOf(1, 100, 160);
        jitter.forEach((offMs, i) => {
          expect(clock.ticksOf(i + 2, 120 + i * 20 + offMs, 160) - first).toBe((i + 1) * 160);
        });
        expect(clock.ticksOf(2, undefined, 160) - first).toBe(160);
      }),
    );
  });

  test("believes a timestamp that is 121 ms apart", () => {
    const clock = new ChunkClock(8_000);
    clock.ticksOf(1, 0, 160);

    expect(clock.ticksOf(2, 20 + 120, 160)).toBe(160);
    expect(clock.ticksOf(3, 40 + 121, 160)).toBe((40 + 121) * 8);
  });
});

test("streamSid stands in for a call that has no name", async () => {
  await using service = await startMedia();
  const peer = await service.peer(PATH);
  peer.send({ event: "start", start: { streamSid: STREAM_SID, tracks: ["inbound_track"] } });

  const [voice] = await service.arrived(1);

  expect(voice?.participant).toEqual({ callId: STREAM_SID, participantId: "inbound" });
});

/** µ-law → A-law by way of samples. */
function muToA(code: number): number {
  const bits = ~code & 0xff;
  const magnitude = ((((bits & 0x0f) << 1) + 33) << ((bits >> 4) & 7)) - 33;
  const sample = Math.min(4095, magnitude >> 1);
  const segment = Math.max(0, 31 - Math.clz32(sample) - 4);
  const step = segment < 2 ? (sample >> 1) & 0x0f : (sample >> segment) & 0x0f;
  return ((bits & 0x80 ? 0 : 0x80) | (Math.min(7, segment) << 4) | step) ^ 0x55;
}
