/** `npm start`: the service, and a bundled two-party call played into it as two real RTP streams over loopback UDP. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { Config } from "./config.ts";
import { OPUS } from "./core/rtp.ts";
import { DemoSummary } from "./demo-summary.ts";
import type { Engine } from "./engine.ts";
import { eventLine, type ListenOptions, runListen } from "./events/index.ts";
import type { Participant } from "./participant.ts";
import { aborted, openService } from "./serve.ts";
import { readRtpPayloads } from "./transport/file/ogg-opus-player.ts";
import { createUdpRtpSource, RtpSender } from "./transport/index.ts";

export interface DemoOptions {
  readonly config: Config;
  /** One pass, then a summary. */
  readonly once: boolean;
  readonly out: ListenOptions["out"];
  readonly signal: AbortSignal;
}

const PAYLOAD_TYPE = 111;
const RECORDING = new URL("../assets/demo/", import.meta.url);

const timelineSchema = z.object({
  speakers: z.array(z.object({ name: z.string(), file: z.string() })).min(1),
});

/** @returns the exit code */
export async function runDemo({ config, once, out, signal }: DemoOptions): Promise<number> {
  await using service = await openService({ config, out, signal });
  const { engine } = service;
  out.write(
    "Call    two voices from EMO-DB (assets/demo/ATTRIBUTION.md), as RTP over loopback; Ctrl+C ends it\n",
  );
  const ending = new AbortController();
  const stop = AbortSignal.any([signal, ending.signal]);
  const summary = new DemoSummary(engine);
  const showing = show(service.url, engine, out, stop);
  try {
    for (let pass = 1; !stop.aborted; pass++) {
      await playCall(engine, `demo-${pass}`, stop);
      if (once) break;
    }
  } finally {
    await engine.drain();
    ending.abort();
    await showing;
    summary.close();
  }
  out.write(summary.text());
  return 0;
}

/** A terminal gets the live table of `tonetap listen`; anything else one line an event. */
async function show(url: URL, engine: Engine, out: DemoOptions["out"], signal: AbortSignal): Promise<void> {
  if (out.isTTY === true) {
    await runListen({ url: url.href, out, signal });
    return;
  }
  const lines = engine.events$.subscribe((event) => {
    if (event.type !== "tonetap.service.stats") out.write(`${eventLine(event)}\n`);
  });
  await aborted(signal);
  lines.unsubscribe();
}

/** One pass of the recording; resolves when both have left, or early when stopped. */
async function playCall(engine: Engine, callId: string, signal: AbortSignal): Promise<void> {
  const { speakers } = timelineSchema.parse(
    JSON.parse(await readFile(new URL("timeline.json", RECORDING), "utf8")),
  );
  const legs: Leg[] = [];
  // One after the other: they join in the recording's order.
  for (const speaker of speakers) legs.push(await openLeg(engine, callId, speaker, legs.length));
  await Promise.all(
    legs.map(async ({ frames, participant, sender }) => {
      try {
        await sender.play(frames, { signal });
      } catch (error) {
        if (!signal.aborted) throw error;
      } finally {
        // Closing says BYE, which ends the participant.
        await sender.close();
        await participant.close();
      }
    }),
  );
}

interface Leg {
  readonly frames: Awaited<ReturnType<typeof readRtpPayloads>>;
  readonly participant: Participant;
  readonly sender: RtpSender;
}

async function openLeg(
  engine: Engine,
  callId: string,
  { name, file }: { readonly name: string; readonly file: string },
  index: number,
): Promise<Leg> {
  const frames = await readRtpPayloads(fileURLToPath(new URL(file, RECORDING)));
  const source = await createUdpRtpSource({ clock: engine.clock, host: "127.0.0.1", port: 0 });
  const participant = await engine.attach(source, {
    callId,
    participantId: name,
    displayName: name.charAt(0).toUpperCase() + name.slice(1),
    role: index === 0 ? "customer" : "guest",
    consent: "granted",
  });
  const sender = await RtpSender.open({
    clock: engine.clock,
    codec: OPUS,
    payloadType: PAYLOAD_TYPE,
    host: "127.0.0.1",
    port: source.address.port,
    cname: `${name}@demo`,
  });
  return { frames, participant, sender };
}
