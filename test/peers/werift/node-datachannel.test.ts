/** libdatachannel, by its Node binding, publishes over WHIP: another ICE, DTLS and SRTP than browsers have. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RtpPayload } from "../../../src/transport/file/ogg-opus-player.ts";
import { recordedFrames, upTo } from "../../engine/support.ts";
import { heldResources } from "../../transport/werift/whip-peer.ts";
import { DataChannelPublisher } from "../data-channel-publisher.ts";
import { hasDataChannel } from "../setup.ts";
import { TappedEngine } from "./tapped-engine.ts";

const eventually = <T>(read: () => T) => expect.poll(read);
const QUERY = "call=native&participant=anna&role=customer&consent=granted";

describe.skipIf(!hasDataChannel())("node-datachannel publishing over WHIP", () => {
  let frames: RtpPayload[];
  let tap: TappedEngine;
  beforeAll(async () => {
    frames = upTo(await recordedFrames("anna"), 6_000);
    tap = await TappedEngine.open();
  });
  afterAll(async () => {
    await tap?.[Symbol.asyncDispose]();
  });

  /** @param change what the server gets instead of the offer. */
  const publish = async (
    publisher: DataChannelPublisher,
    query: string,
    change = (offer: string) => offer,
  ) => {
    const response = await fetch(`${tap.url}whip?${query}`, {
      method: "POST",
      headers: { "content-type": "application/sdp" },
      body: change(publisher.offer),
    });
    const answer = await response.text();
    expect(response.status, answer).toBe(201);
    publisher.answer(answer);
    return new URL(response.headers.get("location") ?? "", tap.url);
  };

  test("300 packets come as they were sent, its events say who spoke, and DELETE ends it", async () => {
    await using publisher = await DataChannelPublisher.start();
    const session = await publish(publisher, QUERY);
    await publisher.opened;
    await publisher.speak(frames);
    const heard = tap.heard.at(-1);
    await eventually(() => heard?.packets.length).toBe(frames.length);
    expect((await fetch(session, { method: "DELETE" })).status).toBe(200);
    await eventually(() => tap.of("tonetap.participant.left", "anna").length).toBe(1);

    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
    expect(heard?.packets.map(({ payload }) => hex(payload))).toEqual(
      frames.map(({ payload }) => hex(payload)),
    );
    expect(tap.of("tonetap.emotion", "anna").length).toBeGreaterThanOrEqual(5);
    expect(tap.of("tonetap.participant.left", "anna")[0]?.data.reason).toBe("left");
  });

  test("a wrong fingerprint ends it before 1 packet: DTLS fails, and sockets and timers are as before", async () => {
    await eventually(() => heldResources().sockets).toBe(0);
    await using publisher = await DataChannelPublisher.start();
    await publish(publisher, "call=forged&participant=mallory&consent=granted", (offer) =>
      offer.replace(
        /(a=fingerprint:sha-256 )../,
        (_, head: string) => `${head}${offer.includes(`${head}00`) ? "11" : "00"}`,
      ),
    );
    await eventually(() => tap.of("tonetap.participant.left", "mallory").length).toBe(1);

    expect(tap.of("tonetap.participant.left", "mallory")[0]?.data.reason).toBe("failed");
    expect(tap.heard.at(-1)?.packets).toEqual([]);
    expect(tap.endpoint.sessionCount).toBe(0);
    await eventually(() => heldResources().sockets).toBe(0);
  });
});
