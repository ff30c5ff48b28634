/** Carries a window's identity from the window to its answer. What the answer says is the batcher's. */
import type { DroppedWindow, WindowInfo } from "./window.ts";

/** The identity alone, without the borrowed features: this may be kept. */
export function windowInfo(window: WindowInfo): WindowInfo {
  return {
    index: window.index,
    start: window.start,
    end: window.end,
    mediaStartMs: window.mediaStartMs,
    mediaEndMs: window.mediaEndMs,
    wallStartMs: window.wallStartMs,
    wallEndMs: window.wallEndMs,
    wallSource: window.wallSource,
    speechShare: window.speechShare,
    lossShare: window.lossShare,
    arrivalMs: window.arrivalMs,
  };
}

export function droppedWindow(info: WindowInfo, reason: DroppedWindow["reason"]): DroppedWindow {
  return { ...windowInfo(info), kind: "dropped", reason };
}
