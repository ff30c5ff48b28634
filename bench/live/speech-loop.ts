/** Endless speech for the load generator: the talk-spurts of the demo recording, end to end, without its pauses. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { TonetapError } from "../../src/core/errors.ts";
import { readRtpPayloads } from "../../src/transport/file/ogg-opus-player.ts";
import { PACKET_MS } from "./protocol.ts";

const DEMO = new URL("../../assets/demo/", import.meta.url);
const TICKS_PER_MS = 48;

interface Timeline {
  readonly speakers: readonly { readonly name: string; readonly file: string }[];
  readonly segments: readonly {
    readonly speaker: string;
    readonly startMs: number;
    readonly endMs: number;
  }[];
}

/** One loop of 20 ms Opus payloads (SILK wideband, some 24 kbit/s) a speaker of the demo recording. */
export async function readSpeechLoops(): Promise<Uint8Array[][]> {
  const timeline = JSON.parse(await readFile(new URL("timeline.json", DEMO), "utf8")) as Timeline;
  return Promise.all(
    timeline.speakers.map(async ({ name, file }) => {
      const spurts = timeline.segments.filter(({ speaker }) => speaker === name);
      const loop: Uint8Array[] = [];
      let atMs = 0;
      for (const { payload, durationTicks } of await readRtpPayloads(fileURLToPath(new URL(file, DEMO)))) {
        const endMs = atMs + PACKET_MS;
        if (spurts.some((spurt) => atMs >= spurt.startMs && endMs <= spurt.endMs)) loop.push(payload);
        atMs += durationTicks / TICKS_PER_MS;
      }
      if (loop.length === 0) throw new TonetapError("media", `${file} holds no speech of ${name}`);
      return loop;
    }),
  );
}
