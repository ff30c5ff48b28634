/** examples/werift-peer.ts as users run it: a program's own werift connection, ten lines, events. */
import { promises } from "node:dns";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { sleep, systemClock } from "../../../src/core/clock.ts";
import type { TonetapEvent } from "../../../src/index.ts";
import { recordedFrames, upTo } from "../../engine/support.ts";
import { createPublisher } from "../../transport/werift/whip-peer.ts";

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");

describe("examples/werift-peer.ts", () => {
  let example: typeof import("../../../examples/werift-peer.ts");
  beforeAll(async () => {
    // werift asks a public STUN server when there is none of one's own: nothing leaves this machine.
    vi.spyOn(promises, "lookup").mockRejectedValue(new Error("there are no names here"));
    vi.spyOn(console, "log").mockReturnValue();
    example = await import("../../../examples/werift-peer.ts");
  });
  afterAll(async () => {
    await example?.engine.close();
    vi.restoreAllMocks();
  });

  test("gives 5 or more emotion events of 6 s of speech, and lets the participant go with its connection", async () => {
    const frames = upTo(await recordedFrames("anna"), 6_000);
    const events: TonetapEvent[] = [];
    example.engine.events$.subscribe((event) => events.push(event));
    const of = (type: TonetapEvent["type"]) => events.filter((event) => event.type === type);
    const publisher = await createPublisher();

    const peer = await example.answer(publisher.offer, "ada");
    await publisher.connect(peer.localDescription?.sdp ?? "");
    const start = systemClock.now();
    for (const [i, { payload }] of frames.entries()) {
      await sleep(systemClock, Math.max(0, start + i * 20 - systemClock.now()));
      publisher.send(i, payload);
    }
    await expect.poll(() => of("tonetap.emotion").length).toBeGreaterThanOrEqual(5);
    await peer.close();
    await expect.poll(() => of("tonetap.participant.left").length).toBe(1);
    await publisher.close();

    expect(of("tonetap.participant.joined")[0]?.data).toMatchObject({
      participantId: "ada",
      transport: "webrtc",
      paused: false,
    });
    expect(of("tonetap.participant.left")[0]?.data).toMatchObject({
      reason: "left",
      windows: { dropped: 0 },
    });
  });

  test("is what docs/webrtc.md shows, in all its lines", () => {
    const [, ...lines] = read("examples/werift-peer.ts").split("\n");
    expect(read("docs/webrtc.md")).toContain(lines.join("\n").trim());
  });
});
