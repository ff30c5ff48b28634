/** Protects what we send with one master key. */
import { TonetapError } from "../../core/errors.ts";
import { readU16, readU32 } from "../bytes.ts";
import { extendSequence } from "../sequence.ts";
import { createTransform } from "./create-transform.ts";
import { ReplayWindow } from "./replay-window.ts";
import { rtpHeaderBytes } from "./srtp-receiver.ts";
import { assertMasterKey, type SrtpMasterKey } from "./srtp-suite.ts";
import { SRTCP_CLEAR_BYTES, type SrtpTransform } from "./srtp-transform.ts";

/** RFC 3711 §9.2: with one master key, 2⁴⁸ RTP packets of an SSRC and 2³¹ RTCP packets. */
const MAX_RTP_PACKETS = 2 ** 48;
const MAX_RTCP_PACKETS = 2 ** 31;

/** SSRCs of ours under one key. */
const MAX_SOURCES = 1024;

export class SrtpSender {
  readonly #transform: SrtpTransform;
  readonly #sent = new Map<number, ReplayWindow>();
  readonly #rtcpIndex = new Map<number, number>();

  /** @throws TonetapError invalid-argument when a key has the wrong size. */
  constructor(master: SrtpMasterKey) {
    assertMasterKey(master);
    this.#transform = createTransform(master);
  }

  /**
   * `packet` protected, in memory of its own. Send what this returned again for a retransmission.
   * @throws TonetapError invalid-argument when it is no RTP packet; conflict when its sequence number was used already
   * or is far behind: protecting two packets alike would betray both; overloaded beyond 1,024 SSRCs.
   */
  protectRtp(packet: Uint8Array): Uint8Array {
    const headerBytes = packet.length < 12 ? 0 : rtpHeaderBytes(packet);
    if (headerBytes === 0 || headerBytes > packet.length) {
      throw new TonetapError("invalid-argument", `${packet.length} bytes hold no RTP packet`);
    }
    const ssrc = readU32(packet, 8);
    const sequence = readU16(packet, 2);
    const sent = entry(this.#sent, ssrc, () => new ReplayWindow());
    const index = sent.highest < 0 ? sequence : extendSequence(sequence, sent.highest);
    if (sent.check(index) !== "fresh" || index >= MAX_RTP_PACKETS) {
      throw new TonetapError(
        "conflict",
        `sequence number ${sequence} was protected already, or is too far behind`,
      );
    }
    sent.add(index);
    return this.#transform.sealRtp(packet, headerBytes, ssrc, index);
  }

  /**
   * A compound RTCP packet protected, in memory of its own.
   * @throws TonetapError invalid-argument when it is no RTCP packet; conflict when the key is used up.
   */
  protectRtcp(packet: Uint8Array): Uint8Array {
    if (packet.length < SRTCP_CLEAR_BYTES) {
      throw new TonetapError("invalid-argument", `${packet.length} bytes hold no RTCP packet`);
    }
    const ssrc = readU32(packet, 4);
    const index = entry(this.#rtcpIndex, ssrc, () => 0);
    if (index >= MAX_RTCP_PACKETS) throw new TonetapError("conflict", "the SRTCP key is used up");
    this.#rtcpIndex.set(ssrc, index + 1);
    return this.#transform.sealRtcp(packet, ssrc, index);
  }
}

function entry<T>(entries: Map<number, T>, ssrc: number, create: () => T): T {
  const known = entries.get(ssrc);
  if (known !== undefined) return known;
  if (entries.size >= MAX_SOURCES) throw new TonetapError("overloaded", `${MAX_SOURCES} SSRCs under one key`);
  const created = create();
  entries.set(ssrc, created);
  return created;
}
