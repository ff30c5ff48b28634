/** Janus forwards its publishers' RTP to ports of POST /v1/rtp, by the requests that docs/rtp.md shows. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RtpPayload } from "../../../src/transport/file/ogg-opus-player.ts";
import { recordedFrames, upTo } from "../../engine/support.ts";
import { bestMatch, medianMatch } from "../../support/correlation.ts";
import { bundledVoice } from "../../support/pcmu.ts";
import { hasPeer } from "../../support/system-peers.ts";
import { DataChannelPublisher } from "../data-channel-publisher.ts";
import { hasDataChannel } from "../setup.ts";
import { Janus, type Jsep, type PluginAnswer } from "./janus.ts";
import { RtpService } from "./rtp-service.ts";

const SECONDS = 6;
const ROOM = 1234;
/** 200 ms. */
const PIECE = 3_200;

describe.skipIf(!hasPeer("janus") || !hasDataChannel())("Janus with a libdatachannel publisher", () => {
  let service: RtpService;
  let janus: Janus;
  let frames: RtpPayload[];
  let voice: Float32Array;
  beforeAll(async () => {
    [service, janus] = await Promise.all([RtpService.open(), Janus.start()]);
    frames = upTo(await recordedFrames("anna"), SECONDS * 1000);
    voice = await bundledVoice("anna", 0, SECONDS * 1000);
  });
  afterAll(async () => {
    await janus?.[Symbol.asyncDispose]();
    await service?.[Symbol.asyncDispose]();
  });

  /** Has Janus answer the publisher's offer. */
  async function publish(publisher: DataChannelPublisher, ask: (offer: Jsep) => Promise<PluginAnswer>) {
    const { jsep, data } = await ask({ type: "offer", sdp: publisher.offer });
    publisher.answer(jsep?.sdp ?? "");
    await publisher.opened;
    return data;
  }

  test(`videoroom: ${SECONDS} s of a publisher's Opus come through, 0 lost, and are events of who spoke`, async () => {
    const { port, heard } = await service.door("videoroom");
    const room = await janus.attach("janus.plugin.videoroom");
    await room({ request: "create", room: ROOM, audiocodec: "opus" });
    await using publisher = await DataChannelPublisher.start();
    const { id } = await publish(publisher, (offer) =>
      room({ request: "joinandconfigure", ptype: "publisher", room: ROOM, display: "anna" }, offer),
    );

    await room({
      request: "rtp_forward",
      room: ROOM,
      publisher_id: id,
      host: "127.0.0.1",
      host_family: "ipv4",
      // libdatachannel names its section so; browsers begin with "0".
      streams: [{ mid: "audio", port, ptype: 111 }],
    });
    await publisher.speak(frames);
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
    await using publisher = await DataChannelPublisher.start();
    await publish(publisher, (offer) => bridge({ request: "configure", muted: false }, offer));

    await bridge({
      request: "rtp_forward",
      room: ROOM,
      host: "127.0.0.1",
      host_family: "ipv4",
      port,
      codec: "pcmu",
      ptype: 0,
    });
    const beforeMs = heard.endMs();
    await publisher.speak(frames);
    // Janus mixes on by its own timer, speaker or not.
    await expect.poll(() => heard.endMs() - beforeMs).toBeGreaterThan(SECONDS * 1000 + 500);
    await service.detach("audiobridge");
    await heard.completed;

    // Janus mixes by its own timer: frames that are late for it become silence, those that pile up are left out.
    const correlation = medianMatch(heard.samples(), voice, PIECE);
    const backwards = medianMatch(heard.samples(), voice.toReversed(), PIECE);
    console.log(`Janus audiobridge: correlation ${correlation.toFixed(4)}, ${heard.stats.received} packets`);
    expect(correlation).toBeGreaterThan(0.8);
    expect(backwards).toBeLessThan(0.6);
    expect(service.of("tonetap.emotion", "audiobridge").length).toBeGreaterThanOrEqual(4);
  });
});
