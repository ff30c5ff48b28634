/** What is said of a window on its way from a shard, as numbers in shared memory: cloning an object of so many fields costs more. */
import { monotonicMs, sampleIndex, wallMs } from "../core/units.ts";
import type { WindowNews } from "./shard-protocol.ts";

/** Numbers that a window takes. */
export const HEAD_SIZE = 18;

/** For what a window does not have: no row and no number of frames is below 0. */
const NONE = -1;

export function writeHead(out: Float64Array, at: number, { media, run, unit }: WindowNews): void {
  out[at] = media;
  out[at + 1] = run;
  out[at + 2] = unit.index;
  out[at + 3] = unit.start;
  out[at + 4] = unit.end;
  out[at + 5] = unit.mediaStartMs;
  out[at + 6] = unit.mediaEndMs;
  out[at + 7] = unit.wallStartMs;
  out[at + 8] = unit.wallEndMs;
  out[at + 9] = Number(unit.wallSource === "ntp");
  out[at + 10] = unit.speechShare;
  out[at + 11] = unit.lossShare;
  out[at + 12] = unit.arrivalMs;
  out[at + 13] = unit.readyMs;
  out[at + 14] = unit.frames;
  out[at + 15] = unit.fresh ?? NONE;
  out[at + 16] = Number(unit.freshOnly);
  out[at + 17] = unit.shadowRow ?? NONE;
}

export function readHead(from: Float64Array, at: number, row: number): WindowNews {
  const read = (field: number): number => from[at + field] ?? Number.NaN;
  const optional = (field: number): number | undefined => (read(field) === NONE ? undefined : read(field));
  return {
    kind: "unit",
    media: read(0),
    run: read(1),
    unit: {
      kind: "window",
      index: read(2),
      start: sampleIndex(read(3)),
      end: sampleIndex(read(4)),
      mediaStartMs: read(5),
      mediaEndMs: read(6),
      wallStartMs: wallMs(read(7)),
      wallEndMs: wallMs(read(8)),
      wallSource: read(9) === 1 ? "ntp" : "arrival",
      speechShare: read(10),
      lossShare: read(11),
      arrivalMs: monotonicMs(read(12)),
      readyMs: monotonicMs(read(13)),
      frames: read(14),
      fresh: optional(15),
      freshOnly: read(16) === 1,
      row,
      shadowRow: optional(17),
    },
  };
}
