/** What the bench and the process that receives say to each other. */
import type { SrtpSuite } from "../../src/transport/index.ts";

export const DOORS = [
  "rtp",
  "srtp-cm",
  "srtp-gcm",
  "whip",
  "whip-werift",
  "node-datachannel",
  "mediasoup",
] as const;
export type DoorName = (typeof DOORS)[number];

/** A master key, base64 of key and salt. */
export interface DoorKey {
  readonly suite: SrtpSuite;
  readonly inline: string;
}

export type ToReceiver =
  | { readonly kind: "offer"; readonly stream: number; readonly sdp: string }
  /** Notes where CPU time and counters stand. */
  | { readonly kind: "start" }
  | { readonly kind: "stop" };

export type FromReceiver =
  /** UDP ports of the streams, one each or one for all; none where streams come by offer. */
  | { readonly kind: "ready"; readonly ports: readonly number[]; readonly note: string }
  | { readonly kind: "unavailable"; readonly reason: string }
  | { readonly kind: "answer"; readonly stream: number; readonly sdp: string }
  | { readonly kind: "started" }
  | { readonly kind: "measured"; readonly packets: number; readonly cpuMicros: number };
