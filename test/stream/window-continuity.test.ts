import { describe, expect, it } from "vitest";
import type { TalkSpurt } from "../../src/stream/talk-spurts.ts";
import { WindowContinuity } from "../../src/stream/window-continuity.ts";

const spurt = (): TalkSpurt => ({ first: 0, last: 0, judged: true });

function following(strideFrames: number | undefined, hopFrames = 50): WindowContinuity {
  const continuity = new WindowContinuity(hopFrames);
  continuity.follow(strideFrames);
  return continuity;
}

describe("windows that continue each other", () => {
  it("have 50 fresh frames a hop, 100 where one was gated, and all 300 after more than that", () => {
    const continuity = following(5);
    const open = spurt();
    const told = [100, 150, 250, 600].map((end) => {
      const frames = Math.min(300, end);
      const fresh = continuity.fresh(open, frames, end, 80);
      continuity.note(open, end, fresh === frames, 80);
      return fresh;
    });

    expect(told).toEqual([100, 50, 100, 300]);
  });

  it("begin anew with another talk-spurt, and when 80 frames of speech have become 120", () => {
    const continuity = following(5);
    const open = spurt();
    continuity.note(open, 100, true, 80);

    expect(continuity.fresh(open, 150, 150, 119)).toBe(50);
    expect(continuity.fresh(open, 150, 150, 120)).toBe(150);
    expect(continuity.fresh(spurt(), 150, 150, 80)).toBe(150);
  });

  it("are cut to whole steps of 5: back where 3 older frames are held, else forward", () => {
    const continuity = following(5);

    expect([continuity.align(10, 92, 0), continuity.align(10, 92, 8), continuity.align(12, 92, 0)]).toEqual([
      7, 12, 12,
    ]);
  });

  it("are none for a model without steps, nor at a hop of 7 frames", () => {
    expect([following(undefined).active, following(5, 7).active, following(5, 10).active]).toEqual([
      false,
      false,
      true,
    ]);
  });
});
