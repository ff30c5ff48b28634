/** One way for audio to come in, from the socket to the packet in our hands; nothing is decoded. */
import type { DoorKey } from "./protocol.ts";

export interface DoorOptions {
  readonly streams: number;
  /** Of the SRTP doors. */
  readonly key: DoorKey | undefined;
  /** Counts a packet, as the last thing that is done with it. */
  readonly onPacket: () => void;
}

export interface OpenDoor {
  /** UDP ports, one a stream or one for all; none where streams come by offer. */
  readonly ports: readonly number[];
  /** What was measured, in words: versions, cipher. */
  readonly note: string;
  /** Takes a WebRTC offer. */
  readonly answer?: (sdp: string) => Promise<string>;
  /** CPU of processes of its own, µs so far. */
  readonly otherCpuMicros?: () => Promise<number>;
  readonly close: () => Promise<void>;
}
