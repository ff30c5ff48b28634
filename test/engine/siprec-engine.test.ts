/** A recording session through the whole engine: its events say who of two people spoke. */
import { expect, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { OPUS } from "../../src/core/rtp.ts";
import type { RtpPayload } from "../../src/transport/file/ogg-opus-player.ts";
import { createRtpSender } from "../../src/transport/index.ts";
import { createSipServer } from "../../src/transport/sip/index.ts";
import { Phone, sdpText, tagOf } from "../transport/sip/phone.ts";
import { MIXED_TYPE, metadata, multipart, streamsOffer } from "../transport/sip/siprec/documents.ts";
import { openEngine, recordedFrames, upTo } from "./support.ts";

test("4 s of 2 people in 2 streams: speech and emotions bear the name that the metadata gives each stream", async () => {
  const { engine, seen } = await openEngine();
  await using _engine = engine;
  await using server = await createSipServer({
    port: 0,
    participantDefaults: { role: "customer", consent: "granted" },
    onCall: (source, { participant }) => engine.attach(source, participant),
  });
  await using phone = await Phone.stream(server.addresses.get("tcp") ?? expect.unreachable("no TCP"));
  const opus = { media: "RTP/AVP 111", lines: ["a=rtpmap:111 opus/48000/2"] };
  // Neither the order of the people nor that of the labels says who is where.
  const people = [
    { id: "ben", name: "Ben", sends: ["1"] },
    { id: "anna", name: "Anna", sends: ["2"] },
  ];
  const offer = streamsOffer([
    { label: "2", ...opus },
    { label: "1", ...opus },
  ]);
  const headers = ["Require: siprec", "X-Tonetap-Call: rec-1"];
  const ok = await phone.ask("INVITE", {
    headers,
    type: MIXED_TYPE,
    body: multipart(offer, metadata(people)),
  });
  expect(ok.status).toBe(200);
  await phone.send(phone.compose("ACK", { toTag: tagOf(ok) }));
  const [first = 0, second = 0] = [...sdpText(ok).matchAll(/^m=audio (\d+)/gm)].map(([, port]) =>
    Number(port),
  );

  const anna = upTo(await recordedFrames("anna"), 4_500);
  const whole = await recordedFrames("ben");
  // Ben speaks from 7 s on.
  const ben = upTo(whole.slice(upTo(whole, 7_000).length), 4_500);
  await Promise.all([play(first, anna), play(second, ben)]);

  for (const [participantId, displayName] of [
    ["anna", "Anna"],
    ["ben", "Ben"],
  ] as const) {
    const { data } = await seen.first("emotion", (event) => event.data.participantId === participantId);
    expect(data).toMatchObject({ callId: "rec-1", participantId, role: "customer" });
    expect(seen.of("speech.started", participantId).length).toBeGreaterThanOrEqual(1);
    expect(seen.of("participant.joined", participantId)[0]?.data).toMatchObject({
      displayName,
      transport: "siprec",
    });
  }
  await phone.ask("BYE", { toTag: tagOf(ok), cseq: 2 });
  const ended = await seen.first("call.ended");
  expect(ended.data).toMatchObject({ callId: "rec-1", participants: 2 });
  expect(server.held).toMatchObject({ calls: 0, rtpPorts: 0 });
});

async function play(port: number, frames: readonly RtpPayload[]): Promise<void> {
  const sender = await createRtpSender({
    clock: systemClock,
    codec: OPUS,
    payloadType: 111,
    host: "127.0.0.1",
    port,
  });
  await sender.play(frames);
  await sender.close();
}
