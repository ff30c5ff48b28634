/** What a jitter buffer counts. Every packet pushed ends in exactly one of the counters or in one unit. */

export interface JitterStats {
  /** Packets pushed, whatever became of them. */
  received: number;
  /** Sequence numbers given up and not made good. */
  lost: number;
  /** Holes filled with a RED copy. */
  recovered: number;
  /** Came after a later packet, but in time: overtaken on the way, or sent again on request. */
  reordered: number;
  /** Came after they were given up: dropped. */
  late: number;
  /** Came before: dropped. */
  duplicate: number;
  /** New streams after the first: SSRC changes and jumps. */
  resets: number;
  /** Consumed without giving audio, by reason. */
  readonly ignored: {
    /** No payload: padding sent to probe the bandwidth. */
    empty: number;
    /** The payload type is not in the codec map. */
    unknownType: number;
    telephoneEvent: number;
    /** RFC 3389: becomes part of a gap. */
    comfortNoise: number;
    /** Blocks overrun the payload, or the primary is no audio. */
    malformedRed: number;
    /** New sequence number, same timestamp as the packet before. */
    repeatedTimestamp: number;
    /** Looked like the start of another stream, but nothing followed. */
    stray: number;
    /** Of the SSRC before the current one. */
    oldSsrc: number;
  };
  /** Interarrival jitter, ms. RFC 3550 §6.4.1, A.8. */
  jitterMs: number;
  /** How long a hole is waited for at present, ms. */
  waitMs: number;
}

export const createJitterStats = (): JitterStats => ({
  received: 0,
  lost: 0,
  recovered: 0,
  reordered: 0,
  late: 0,
  duplicate: 0,
  resets: 0,
  ignored: {
    empty: 0,
    unknownType: 0,
    telephoneEvent: 0,
    comfortNoise: 0,
    malformedRed: 0,
    repeatedTimestamp: 0,
    stray: 0,
    oldSsrc: 0,
  },
  jitterMs: 0,
  waitMs: 0,
});
