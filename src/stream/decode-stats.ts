/** Counters of one participant's decoding, for quality events. decode-audio.ts writes them. */
import type { PcmOrigin } from "../core/media.ts";

export interface DecodeStats {
  /** Packets decoded to audio, DTX packets among them. */
  decodedPackets: number;
  /** Packets whose payload the decoder refused; concealed like lost ones. */
  invalidPackets: number;
  /** Lost packets made good from the next one's FEC. */
  recoveredPackets: number;
  /** Packets whose payload type means nothing here. They take no media time. */
  unknownPackets: number;
  /** Comfort noise, telephone events and empty payloads: known, but no audio. They take no media time. */
  silentPackets: number;
  /** Times that media time jumped over a gap too long to fill. */
  longGaps: number;
  /** 16 kHz samples cut off because packets overlapped in time. */
  trimmedSamples: number;
  /** 16 kHz samples given on, by origin. */
  readonly samples: Record<PcmOrigin, number>;
}

export const createDecodeStats = (): DecodeStats => ({
  decodedPackets: 0,
  invalidPackets: 0,
  recoveredPackets: 0,
  unknownPackets: 0,
  silentPackets: 0,
  longGaps: 0,
  trimmedSamples: 0,
  samples: { decoded: 0, recovered: 0, concealed: 0, lost: 0, dtx: 0 },
});
