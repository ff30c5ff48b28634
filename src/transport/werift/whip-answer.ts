/** Writes the SDP answer of a WHIP session. Negotiation is whip-offer.ts; the facts come from werift's transport. */
import {
  AUDIO_LEVEL_URI,
  encodingName,
  type IceCredentials,
  type OfferedCodec,
  type OfferedSection,
  type WhipOffer,
} from "./whip-offer.ts";

/** Our side of an ICE session. */
export interface LocalIce extends IceCredentials {
  /** Without the leading `a=`. All of them: RFC 9725 §4.3.2 has no way to send more later. */
  readonly candidates: readonly string[];
}

/** Our side of the transport. */
export interface LocalTransport extends LocalIce {
  /** `sha-256 AB:CD:…` */
  readonly fingerprints: readonly string[];
  readonly setup: "active" | "passive";
}

/**
 * What the publisher's encoder is asked for: 16 kHz is all that is analysed, and wideband SILK decodes almost twice as
 * fast as fullband; one channel; in-band FEC for lost packets; no packets for silence. RFC 7587 §6.1.
 */
const OPUS_WISHES = "maxplaybackrate=16000;stereo=0;sprop-stereo=0;useinbandfec=1;usedtx=1";

export function writeWhipAnswer(offer: WhipOffer, local: LocalTransport, sessionId: number): string {
  const transport = transportLines(local);
  const group = new Set([offer.bundleTag, offer.mid]);
  const lines = [
    "v=0",
    `o=- ${sessionId} 1 IN IP4 0.0.0.0`,
    "s=-",
    "t=0 0",
    ...(offer.bundleTag === undefined ? [] : [`a=group:BUNDLE ${[...group].join(" ")}`]),
  ];
  for (const [index, section] of offer.sections.entries()) {
    if (index === offer.audio) lines.push(...audioSection(offer, transport));
    else if (section.mid !== undefined && section.mid === offer.bundleTag) {
      lines.push(...idleSection(section, transport));
    } else lines.push(...rejectedSection(section));
  }
  return `${lines.join("\r\n")}\r\n`;
}

/** What answers the PATCH of an ICE restart: RFC 9725 §4.3.3, in the form of RFC 8840 §9. */
export function writeRestartFragment(offer: WhipOffer, local: LocalIce): string {
  const holder =
    offer.sections.find(({ mid }) => mid !== undefined && mid === offer.bundleTag) ??
    offer.sections[offer.audio];
  const lines = [
    ICE_OPTIONS,
    `m=${holder?.kind} 9 ${holder?.protocol} ${holder?.format}`,
    `a=mid:${holder?.mid}`,
    ...credentialLines(local),
    ...candidateLines(local),
  ];
  return `${lines.join("\r\n")}\r\n`;
}

/** RFC 8838 §4.1.3: candidates may come later, by PATCH. */
const ICE_OPTIONS = "a=ice-options:trickle";

const credentialLines = ({ ufrag, pwd }: LocalIce): string[] => [`a=ice-ufrag:${ufrag}`, `a=ice-pwd:${pwd}`];

const candidateLines = ({ candidates }: LocalIce): string[] => [
  ...candidates.map((candidate) => `a=${candidate}`),
  "a=end-of-candidates",
];

function transportLines(local: LocalTransport): string[] {
  return [
    ...credentialLines(local),
    ICE_OPTIONS,
    ...local.fingerprints.map((value) => `a=fingerprint:${value}`),
    `a=setup:${local.setup}`,
    "a=rtcp-mux",
    ...candidateLines(local),
  ];
}

function audioSection(offer: WhipOffer, transport: readonly string[]): string[] {
  return [
    `m=audio 9 UDP/TLS/RTP/SAVPF ${offer.codecs.map((codec) => codec.payloadType).join(" ")}`,
    "c=IN IP4 0.0.0.0",
    `a=mid:${offer.mid}`,
    "a=recvonly",
    ...transport,
    ...(offer.reducedSizeRtcp ? ["a=rtcp-rsize"] : []),
    ...(offer.audioLevelId === undefined ? [] : [`a=extmap:${offer.audioLevelId} ${AUDIO_LEVEL_URI}`]),
    ...offer.codecs.flatMap(codecLines),
  ];
}

/** RFC 8829 §5.3.1: port 0, same protocol, at least one format. */
function rejectedSection(section: OfferedSection): string[] {
  return [
    `m=${section.kind} 0 ${section.protocol} ${section.format}`,
    "c=IN IP4 0.0.0.0",
    ...(section.mid === undefined ? [] : [`a=mid:${section.mid}`]),
    "a=inactive",
  ];
}

/** Nothing is taken of it, but the audio uses its transport: rejecting it would take that away (RFC 9143 §7.3.3). */
function idleSection(section: OfferedSection, transport: readonly string[]): string[] {
  return [
    `m=${section.kind} 9 ${section.protocol} ${section.format}`,
    "c=IN IP4 0.0.0.0",
    `a=mid:${section.mid}`,
    "a=inactive",
    ...transport,
    ...section.formatLines,
  ];
}

function codecLines({ payloadType, codec, fmtp, nack }: OfferedCodec): string[] {
  const lines = [`a=rtpmap:${payloadType} ${encodingName(codec)}`];
  if (codec.mimeType === "audio/red") lines.push(`a=fmtp:${payloadType} ${fmtp}`);
  if (codec.mimeType === "audio/opus") {
    const minptime = /(?:^|;) *(minptime=\d+)/.exec(fmtp)?.[1];
    lines.push(`a=fmtp:${payloadType} ${minptime === undefined ? "" : `${minptime};`}${OPUS_WISHES}`);
  }
  if (nack) lines.push(`a=rtcp-fb:${payloadType} nack`);
  return lines;
}
