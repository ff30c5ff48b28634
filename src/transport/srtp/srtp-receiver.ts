/** Unprotects what one peer sends with one master key: finds each packet's index, refuses forgeries and replays. */
import { assertRange } from "../../core/errors.ts";
import { readU8, readU16, readU32 } from "../bytes.ts";
import { extendSequence } from "../sequence.ts";
import { createTransform } from "./create-transform.ts";
import { ReplayWindow } from "./replay-window.ts";
import { assertMasterKey, type SrtpMasterKey, type SrtpSuite } from "./srtp-suite.ts";
import { SRTCP_CLEAR_BYTES, SRTCP_ENCRYPTED, type SrtpTransform } from "./srtp-transform.ts";

/** Why a packet did not pass. Expected outcomes: counted, not thrown. */
export type SrtpRejection =
  /** Shorter than its headers and tag. */
  | "too-short"
  /** Forged, damaged, or protected with another key. */
  | "not-authentic"
  | "replayed"
  /** Older than the replay window. */
  | "too-old"
  /** Of one SSRC more than the limit. */
  | "too-many-sources";

export interface SrtpStats {
  rtp: number;
  rtcp: number;
  readonly rejected: Record<SrtpRejection, number>;
}

export interface SrtpReceiverOptions {
  /** SSRCs that a peer may use in turn or at once, 1–65,536; default 256, about 0.3 kB each. */
  readonly maxSources?: number;
}

const DEFAULT_MAX_SOURCES = 256;

/** What is known of one SSRC. RFC 3711 §3.2.3: each has a context of its own, all share the master key. */
interface SourceContext {
  readonly rtp: ReplayWindow;
  readonly rtcp: ReplayWindow;
}

export class SrtpReceiver {
  readonly suite: SrtpSuite;
  readonly stats: SrtpStats = {
    rtp: 0,
    rtcp: 0,
    rejected: { "too-short": 0, "not-authentic": 0, replayed: 0, "too-old": 0, "too-many-sources": 0 },
  };
  readonly #transform: SrtpTransform;
  readonly #maxSources: number;
  readonly #sources = new Map<number, SourceContext>();

  /** @throws TonetapError invalid-argument when a key has the wrong size. */
  constructor(master: SrtpMasterKey, options: SrtpReceiverOptions = {}) {
    assertMasterKey(master);
    this.suite = master.suite;
    this.#maxSources = options.maxSources ?? DEFAULT_MAX_SOURCES;
    assertRange("maxSources", this.#maxSources, 1, 65_536);
    this.#transform = createTransform(master);
  }

  /** SSRCs that sent something authentic. */
  get sources(): number {
    return this.#sources.size;
  }

  /**
   * Joins a stream that is on its way already. Of an SSRC that is known nothing changes.
   * @param index of its latest packet: 2¹⁶ for each wrap of its sequence numbers, and the sequence number (RFC 3711 §3.3.1)
   */
  resume(ssrc: number, index: number): void {
    assertRange("index", index, 0, 2 ** 48 - 1);
    if (!this.#sources.has(ssrc) && this.#sources.size < this.#maxSources) this.#add(ssrc).rtp.add(index);
  }

  /**
   * Decrypts one datagram in place.
   * @returns the RTP packet, a view into `packet`; or why it is none, with `packet` as it was.
   */
  unprotectRtp(packet: Uint8Array): Uint8Array | SrtpRejection {
    const plainBytes = packet.length - this.#transform.rtpOverheadBytes;
    const headerBytes = plainBytes < 12 ? 0 : rtpHeaderBytes(packet);
    if (headerBytes === 0 || headerBytes > plainBytes) return this.#reject("too-short");
    const ssrc = readU32(packet, 8);
    const known = this.#sources.get(ssrc);
    const index = estimateIndex(known, readU16(packet, 2));
    const verdict = known === undefined ? this.#checkNewcomer() : known.rtp.check(index);
    if (verdict !== "fresh") return this.#reject(verdict);
    if (!this.#transform.openRtp(packet, headerBytes, ssrc, index)) return this.#reject("not-authentic");
    (known ?? this.#add(ssrc)).rtp.add(index);
    this.stats.rtp++;
    return packet.subarray(0, plainBytes);
  }

  /** As {@link unprotectRtp}, for a compound RTCP packet. RFC 3711 §3.4. */
  unprotectRtcp(packet: Uint8Array): Uint8Array | SrtpRejection {
    const plainBytes = packet.length - this.#transform.rtcpOverheadBytes;
    if (plainBytes < SRTCP_CLEAR_BYTES) return this.#reject("too-short");
    const ssrc = readU32(packet, 4);
    const word = readU32(packet, packet.length - this.#transform.rtcpIndexFromEnd);
    const encrypted = word >= SRTCP_ENCRYPTED;
    const index = encrypted ? word - SRTCP_ENCRYPTED : word;
    const known = this.#sources.get(ssrc);
    const verdict = known === undefined ? this.#checkNewcomer() : known.rtcp.check(index);
    if (verdict !== "fresh") return this.#reject(verdict);
    if (!this.#transform.openRtcp(packet, ssrc, index, encrypted)) return this.#reject("not-authentic");
    (known ?? this.#add(ssrc)).rtcp.add(index);
    this.stats.rtcp++;
    return packet.subarray(0, plainBytes);
  }

  #checkNewcomer(): "fresh" | "too-many-sources" {
    return this.#sources.size < this.#maxSources ? "fresh" : "too-many-sources";
  }

  /** Only an authentic packet gets its SSRC a context: forgeries cannot fill the memory. */
  #add(ssrc: number): SourceContext {
    const source = { rtp: new ReplayWindow(), rtcp: new ReplayWindow() };
    this.#sources.set(ssrc, source);
    return source;
  }

  #reject(reason: SrtpRejection): SrtpRejection {
    this.stats.rejected[reason]++;
    return reason;
  }
}

/** RFC 3711 §3.3.1: the index nearest to the highest one that came. */
function estimateIndex(source: SourceContext | undefined, sequence: number): number {
  const highest = source?.rtp.highest ?? -1;
  return highest < 0 ? sequence : extendSequence(sequence, highest);
}

/** Fixed header, CSRCs and extension of an RTP packet of 12 bytes at least; may exceed the packet. */
export function rtpHeaderBytes(packet: Uint8Array): number {
  const first = readU8(packet, 0);
  const bytes = 12 + 4 * (first & 0x0f);
  return (first & 0x10) === 0 ? bytes : bytes + 4 + 4 * readU16(packet, bytes + 2);
}
