/** Janus forwards its publishers' RTP to ports of POST /v1/rtp, by the requests that docs/rtp.md shows. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { sleep, systemClock } from "../../../src/core/clock.ts";
import type { RtpPayload } from "../../../src/transport/file/ogg-opus-player.ts";
import { opusStream, recordedFrames, upTo } from "../../engine/support.ts";
import { bestMatch } from "../../support/correlation.ts";
import { bundledVoice } from "../../support/pcmu.ts";
import { hasPeer } from "../../support/system-peers.ts";
import { hasDataChannel } from "../setup.ts";
import { Janus, type PluginAnswer } from "./janus.ts";
import { RtpService } from "./rtp-service.ts";

const SECONDS = 6;
const ROOM = 1234;

describe.skipIf(!hasPeer("janus") || !hasDataChannel())("Janus with a libdatachannel publisher", () => {
  let native: typeof import("node-datachannel");
  let service: RtpService;
  let janus: Janus;
  let frames: RtpPayload[];
  let voice: Float32Array;
  const peers: import("node-datachannel").PeerConnection[] = [];
  beforeAll(async () => {
    native = await import("node-datachannel");
    [service, janus] = await Promise.all([RtpService.open(), Janus.start()]);
    frames = upTo(await recordedFrames("anna"), SECONDS * 1000);
    voice = await bundledVoice("anna", 0, SECONDS * 1000);
  });
  /** The binding crashes when it is cleaned up with a connection open. */
  afterEach(() => {
    for (const peer of peers.splice(0)) peer.close();
  });
  afterAll(async () => {
    await janus?.[Symbol.asyncDispose]();
    await service?.[Symbol.asyncDispose]();
    native?.cleanup();
  });

  /** Offers one Opus track, and has Janus answer it. */
  async function publish(negotiate: (offer: { type: string; sdp: string }) => Promise<PluginAnswer>) {
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
    const answer = await negotiate({ type: "offer", sdp: peer.localDescription()?.sdp ?? "" });
    peer.setRemoteDescription(answer.jsep?.sdp ?? "", "answer");
    await expect.poll(() => track.isOpen()).toBe(true);
    return {
      answer,
      speak: async () => {
        const start = systemClock.now();
        for (const [i, frame] of frames.entries()) {
          await sleep(systemClock, Math.max(0, start + i * 20 - systemClock.now()));
          track.sendMessageBinary(Buffer.from(stream.packet(frame)));
        }
      },
    };
  }

  test(`videoroom: ${SECONDS} s of a publisher's Opus come through, 0 lost, and are events of who spoke`, async () => {
    const { port, heard } = await service.door("videoroom");
    const room = await janus.attach("janus.plugin.videoroom");
    await room({ request: "create", room: ROOM, audiocodec: "opus" });
    const { answer, speak } = await publish((offer) =>
      room({ request: "joinandconfigure", ptype: "publisher", room: ROOM, display: "anna" }, offer),
    );

    await room({
      request: "rtp_forward",
      room: ROOM,
      publisher_id: answer.data.id,
      host: "127.0.0.1",
      host_family: "ipv4",
      // libdatachannel names its section so; browsers begin with "0".
      streams: [{ mid: "audio", port, ptype: 111 }],
    });
    await speak();
    await expect.poll(() => heard.stats.received).toBeGreaterThan(frames.length - 10);
    await service.detach("videoroom");
    await heard.completed;

    const { correlation } = bestMatch(heard.samples(), voice.slice(8_000, (SECONDS - 0.5) * 16_000));
    console.log(
      `Janus videoroom: correlation ${correlation.toFixed(4)}, ${heard.stats.received} of ${frames.length}`,
    );
    expect(heard.stats.lost).toBe(0);
    expect(correlation).toBeGreaterThan(0.95);
    expect(service.of("tonetap.emotion", "videoroom").length).toBeGreaterThanOrEqual(4);
  });

  test(`audiobridge: ${SECONDS} s of the room's mix as PCMU come through, and are events`, async () => {
    const { port, heard } = await service.door("audiobridge");
    const bridge = await janus.attach("janus.plugin.audiobridge");
    await bridge({ request: "create", room: ROOM, sampling_rate: 16_000 });
    await bridge({ request: "join", room: ROOM, display: "anna" });
    const { speak } = await publish((offer) => bridge({ request: "configure", muted: false }, offer));

    await bridge({
      request: "rtp_forward",
      room: ROOM,
      host: "127.0.0.1",
      host_family: "ipv4",
      port,
      codec: "pcmu",
      ptype: 0,
    });
    await speak();
    await sleep(systemClock, 500);
    await service.detach("audiobridge");
    await heard.completed;

    // The mix begins before its speaker; Janus mixes by a timer of its own.
    const { correlation } = bestMatch(heard.samples(), voice.slice(8_000, 3 * 16_000));
    console.log(`Janus audiobridge: correlation ${correlation.toFixed(4)}, ${heard.stats.received} packets`);
    expect(correlation).toBeGreaterThan(0.9);
    expect(service.of("tonetap.emotion", "audiobridge").length).toBeGreaterThanOrEqual(4);
  });
});
