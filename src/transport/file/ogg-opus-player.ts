/** Gives the packets of an Ogg Opus file as an RTP sender wants them. Pacing and sending is transport/rtp-sender.ts. */
import { readFile } from "node:fs/promises";
import { TonetapError } from "../../core/errors.ts";
import { isOpusDtx } from "../../core/opus-packet.ts";
import type { RtpFrame } from "../rtp-stream.ts";
import { type OggOpus, readOggOpus } from "./ogg-opus.ts";

/** A frame for an RtpSender; `durationTicks` (48 kHz) holds the packet's own length and the silence left out behind it. */
export type RtpPayload = Required<Pick<RtpFrame, "payload" | "durationTicks" | "marker">>;

/**
 * The file's packets without re-encoding. Where the encoder paused (DTX) nothing is sent: the payload before
 * lasts longer instead, as a live sender's timestamps would show it (RFC 7587 §3.1.3).
 */
export function rtpPayloads(file: OggOpus): RtpPayload[] {
  const payloads: RtpPayload[] = [];
  let marker = true;
  for (const { payload, durationTicks } of file.packets) {
    const last = payloads.at(-1);
    if (isOpusDtx(payload) && last !== undefined) {
      payloads[payloads.length - 1] = { ...last, durationTicks: last.durationTicks + durationTicks };
      marker = true;
    } else {
      payloads.push({ payload, durationTicks, marker });
      marker = false;
    }
  }
  return payloads;
}

/** @throws TonetapError not-found, or media when the file is not sound Ogg Opus. */
export async function readRtpPayloads(path: string): Promise<RtpPayload[]> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw TonetapError.from(error, "not-found", path);
  });
  return rtpPayloads(readOggOpus(bytes, path));
}
