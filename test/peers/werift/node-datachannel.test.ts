/** libdatachannel, by its Node binding, publishes over WHIP: another ICE, DTLS and SRTP than browsers have. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { sleep, systemClock } from "../../../src/core/clock.ts";
import type { RtpPayload } from "../../../src/transport/file/ogg-opus-player.ts";
import { opusStream, recordedFrames, upTo } from "../../engine/support.ts";
import { heldResources } from "../../transport/werift/whip-peer.ts";
import { hasDataChannel } from "../setup.ts";
import { TappedEngine } from "./tapped-engine.ts";

const eventually = <T>(read: () => T) => expect.poll(read);
const QUERY = "call=native&participant=anna&role=customer&consent=granted";

describe.skipIf(!hasDataChannel())("node-datachannel publishing over WHIP", () => {
  let native: typeof import("node-datachannel");
  let frames: RtpPayload[];
  let tap: TappedEngine;
  beforeAll(async () => {
    native = await import("node-datachannel");
    frames = upTo(await recordedFrames("anna"), 6_000);
    tap = await TappedEngine.open();
  });
  afterAll(async () => {
    await tap?.[Symbol.asyncDispose]();
    native?.cleanup();
  });

  const peers: import("node-datachannel").PeerConnection[] = [];
  /** The binding crashes when it is cleaned up with a connection open. */
  afterEach(() => {
    for (const peer of peers.splice(0)) peer.close();
  });

  /** @param change what the server gets instead of the offer. */
  const publish = async (query: string, change = (offer: string) => offer) => {
    const peer = new native.PeerConnection("publisher", { iceServers: [] });
    peers.push(peer);
    const stream = opusStream();
    const audio = new native.Audio("audio", "SendOnly");
    audio.addOpusCodec(111);
    audio.addSSRC(stream.ssrc, "publisher");
    const track = peer.addTrack(audio);
    const gathered = new Promise<void>((resolve) =>
      peer.onGatheringStateChange((state) => {
        if (state === "complete") resolve();
      }),
    );
    peer.setLocalDescription();
    await gathered;
    const response = await fetch(`${tap.url}whip?${query}`, {
      method: "POST",
      headers: { "content-type": "application/sdp" },
      body: change(peer.localDescription()?.sdp ?? ""),
    });
    const answer = await response.text();
    expect(response.status, answer).toBe(201);
    peer.setRemoteDescription(answer, "answer");
    return { track, stream, session: new URL(response.headers.get("location") ?? "", tap.url) };
  };

  test("300 packets come as they were sent, its events say who spoke, and DELETE ends it", async () => {
    const { track, stream, session } = await publish(QUERY);
    await eventually(() => track.isOpen()).toBe(true);
    const start = systemClock.now();
    for (const [i, frame] of frames.entries()) {
      await sleep(systemClock, Math.max(0, start + i * 20 - systemClock.now()));
      track.sendMessageBinary(Buffer.from(stream.packet(frame)));
    }
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
    await publish("call=forged&participant=mallory&consent=granted", (offer) =>
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
