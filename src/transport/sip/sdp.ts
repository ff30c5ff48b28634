/**
 * Offer and answer for audio that only comes in (RFC 3264): Opus, G.711, comfort noise, telephone events, in the
 * clear or as SRTP with keys in SDP (RFC 4568). One audio section is taken, every other is refused with port 0. Reading SDP
 * as such is sdp-reader.ts.
 */
import { isIP } from "node:net";
import { TonetapError } from "../../core/errors.ts";
import {
  type AudioCodec,
  COMFORT_NOISE,
  type CodecMap,
  OPUS,
  PCMA,
  PCMU,
  TELEPHONE_EVENT,
} from "../../core/rtp.ts";
import { chooseSdes, formatSdes, type SdesCrypto } from "../srtp/index.ts";
import { attributesOf, readSdp, type SdpSection, type SdpSession } from "./sdp-reader.ts";
import type { Refusal } from "./sip-request.ts";

type Direction = "sendrecv" | "sendonly" | "recvonly" | "inactive";
const DIRECTIONS: readonly Direction[] = ["sendrecv", "sendonly", "recvonly", "inactive"];

/** The peer's side, from its offer or its answer. */
export interface RemoteAudio {
  /** Payload type → codec, in the peer's order of preference. */
  readonly codecs: CodecMap;
  /** Where its media comes from if it is symmetric; a name if the peer gave one. */
  readonly host: string;
  readonly port: number;
  readonly direction: Direction;
  /** `c=0.0.0.0`: on hold, in the words of RFC 2543. */
  readonly blackHole: boolean;
  readonly rtcpMux: boolean;
  /** ms; undefined if not said. */
  readonly ptimeMs: number | undefined;
  /** What it protects its media with; undefined: RTP in the clear. */
  readonly crypto: SdesCrypto | undefined;
  /** What an answer must go along with. */
  readonly frame: {
    readonly timing: string;
    readonly sections: readonly SdpSection[];
    /** Index of the audio among the sections. */
    readonly audio: number;
    readonly mid: string | undefined;
    /** `a=label` (RFC 4574); empty if there is none. */
    readonly label: string;
  };
}

/** What an offer says besides its streams. */
export type OfferFrame = Pick<RemoteAudio["frame"], "timing" | "sections">;

/** Our side as a whole. */
export interface LocalSession {
  /** An IP address. */
  readonly host: string;
  readonly sessionId: number;
  /** Rises with each change. RFC 3264 §8. */
  readonly version: number;
}

/** Our side of one stream. */
export interface LocalMedia {
  readonly port: number;
  /** Keys of ours: in an answer the one that goes with the peer's, in an offer all that may be chosen from. */
  readonly crypto: readonly SdesCrypto[];
}

export interface LocalAudio extends LocalSession, LocalMedia {}

/** What an answer says of one stream. */
export interface AnsweredAudio extends LocalMedia {
  readonly remote: RemoteAudio;
  /** It is not wanted: `inactive`, whatever was offered. */
  readonly unwanted?: boolean;
  /** Further lines of its section. */
  readonly lines?: readonly string[];
}

/** Whether a peer may send RTP in the clear. */
export type SrtpPolicy = "optional" | "required";

/** RTP in the clear, with or without early feedback; with keys it is secured if the other side can (RFC 8643). */
const PLAIN: ReadonlySet<string> = new Set(["RTP/AVP", "RTP/AVPF"]);
/** SRTP whose keys stand in the SDP. */
const SECURE: ReadonlySet<string> = new Set(["RTP/SAVP", "RTP/SAVPF"]);

/** What a peer that lets us offer (RFC 3264 §5) may send. Dynamic types as browsers and most phones number them. */
export const OFFERED_CODECS: CodecMap = new Map([
  [111, OPUS],
  [0, PCMU],
  [8, PCMA],
  [13, COMFORT_NOISE],
  [101, TELEPHONE_EVENT],
]);

/** RFC 3261 §20.43. */
const WARN_ADDRESS = 301;
const WARN_PROTOCOL = 302;
const WARN_MEDIA = 304;
const WARN_FORMAT = 305;

/** Reads an offer, or an answer to ours: the first audio section that we can take, secured ones first. Never throws. */
export function readRemoteAudio(
  text: string,
  family: "IP4" | "IP6",
  srtp: SrtpPolicy = "optional",
): RemoteAudio | Refusal {
  const session = readSdp(text);
  if (typeof session === "string") return { kind: "refusal", status: 400, detail: session };
  const audios = session.sections.filter(({ kind, port }) => kind === "audio" && port > 0);
  const [secure, plain] = [SECURE, PLAIN].map((set) => audios.filter(({ protocol }) => set.has(protocol)));
  let why: Refusal | undefined;
  for (const section of [...(secure ?? []), ...(plain ?? [])]) {
    const audio = readAudio(session, section, family, srtp);
    if (!("kind" in audio)) return audio;
    why ??= audio;
  }
  if (why !== undefined) return why;
  const offered = audios[0]?.protocol;
  if (offered === undefined) return notAcceptable(WARN_MEDIA, "no audio is offered");
  return notAcceptable(WARN_PROTOCOL, `${offered} is offered: RTP/AVP and RTP/SAVP are taken`);
}

/** All audio sections of an offer, in its order: those that can be taken, and why others cannot. Never throws. */
export function readAudioSections(
  text: string,
  family: "IP4" | "IP6",
  srtp: SrtpPolicy,
): { readonly frame: OfferFrame; readonly audios: readonly (RemoteAudio | Refusal)[] } | Refusal {
  const session = readSdp(text);
  if (typeof session === "string") return { kind: "refusal", status: 400, detail: session };
  const audios = session.sections
    .filter(({ kind, port }) => kind === "audio" && port > 0)
    .map((section) =>
      PLAIN.has(section.protocol) || SECURE.has(section.protocol)
        ? readAudio(session, section, family, srtp)
        : notAcceptable(WARN_PROTOCOL, `${section.protocol} is offered: RTP/AVP and RTP/SAVP are taken`),
    );
  return { frame: session, audios };
}

function readAudio(
  session: SdpSession,
  section: SdpSection,
  family: "IP4" | "IP6",
  srtp: SrtpPolicy,
): RemoteAudio | Refusal {
  const codecs = readCodecs(section);
  if (!hasVoice(codecs)) {
    return notAcceptable(WARN_FORMAT, "no common codec: Opus, PCMU and PCMA are taken");
  }
  const crypto = readCrypto(section, srtp);
  if (crypto !== undefined && "kind" in crypto) return crypto;
  const { connection } = section;
  if (connection === undefined) return { kind: "refusal", status: 400, detail: "the SDP has no c= line" };
  if (connection.family !== family) {
    return notAcceptable(WARN_ADDRESS, `media is taken over ${family} only, offered is ${connection.family}`);
  }
  const ptime = Number(attributesOf(section, "ptime")[0]);
  return {
    codecs,
    host: connection.host,
    port: section.port,
    direction: directionOf(section) ?? directionOf(session) ?? "sendrecv",
    blackHole: connection.host === "0.0.0.0" || connection.host === "::",
    rtcpMux: attributesOf(section, "rtcp-mux").length > 0,
    ptimeMs: ptime >= 1 && ptime <= 200 ? ptime : undefined,
    crypto,
    frame: {
      timing: session.timing,
      sections: session.sections,
      audio: session.sections.indexOf(section),
      mid: attributesOf(section, "mid")[0],
      label: attributesOf(section, "label")[0] ?? "",
    },
  };
}

/** The peer's key. RFC 4568 §5.1.2: none that we can use refuses a secured section; one in the clear does without (RFC 8643). */
function readCrypto(section: SdpSection, srtp: SrtpPolicy): SdesCrypto | Refusal | undefined {
  const lines = attributesOf(section, "crypto");
  const mustBe = SECURE.has(section.protocol) || srtp === "required";
  if (lines.length === 0 && !mustBe) return undefined;
  try {
    return chooseSdes(lines);
  } catch (error) {
    if (!mustBe) return undefined;
    return notAcceptable(WARN_PROTOCOL, `SRTP is needed: ${TonetapError.from(error).message}`);
  }
}

function notAcceptable(warningCode: number, detail: string): Refusal {
  return { kind: "refusal", status: 488, warningCode, detail };
}

/** A voice codec must be among them; events and noise alone are no call. */
const hasVoice = (codecs: CodecMap): boolean =>
  [...codecs.values()].some(({ mimeType }) => /^audio\/(?:opus|PCM[UA])$/.test(mimeType));

function readCodecs(section: SdpSection): CodecMap {
  const maps = new Map<string, string>();
  for (const value of attributesOf(section, "rtpmap")) {
    const [, format, encoding] = /^([0-9]{1,3}) +(\S+)$/.exec(value) ?? [];
    if (format !== undefined && encoding !== undefined) maps.set(format, encoding);
  }
  const codecs = new Map<number, AudioCodec>();
  for (const format of section.formats) {
    if (!/^[0-9]{1,3}$/.test(format) || Number(format) > 127) continue;
    const codec = codecOf(maps.get(format) ?? STATIC_ENCODINGS[format] ?? "");
    if (codec !== undefined) codecs.set(Number(format), codec);
  }
  return codecs;
}

/** RFC 3551 §6: types that need no rtpmap. */
const STATIC_ENCODINGS: Readonly<Record<string, string>> = { 0: "PCMU/8000", 8: "PCMA/8000", 13: "CN/8000" };

/** Encoding names are case-insensitive (RFC 4855 §3). */
function codecOf(encoding: string): AudioCodec | undefined {
  switch (encoding.toLowerCase()) {
    case "opus/48000/2":
      return OPUS;
    case "pcmu/8000":
    case "pcmu/8000/1":
      return PCMU;
    case "pcma/8000":
    case "pcma/8000/1":
      return PCMA;
    case "cn/8000":
    case "cn/8000/1":
      return COMFORT_NOISE;
    case "telephone-event/8000":
    case "telephone-event/8000/1":
      return TELEPHONE_EVENT;
    // RFC 4733 §2.1: events count time with the clock of the audio beside them.
    case "telephone-event/48000":
      return { ...TELEPHONE_EVENT, clockRateHz: OPUS.clockRateHz };
    default:
      return undefined;
  }
}

function directionOf(of: SdpSession | SdpSection): Direction | undefined {
  return DIRECTIONS.find((direction) => attributesOf(of, direction).length > 0);
}

/** Takes one stream; every other is refused. */
export function writeAnswer(remote: RemoteAudio, { port, crypto, ...session }: LocalAudio): string {
  return writeAnswers(remote.frame, session, [{ remote, port, crypto }]);
}

/** RFC 3264 §6: as many sections as offered, in the same order; those that are not taken with port 0. */
export function writeAnswers(
  { timing, sections }: OfferFrame,
  local: LocalSession,
  answers: readonly AnsweredAudio[],
): string {
  const lines = sections.flatMap((section, index) => {
    const answer = answers.find(({ remote }) => remote.frame.audio === index);
    if (answer === undefined) return [`m=${section.kind} 0 ${section.protocol} ${section.formats.join(" ")}`];
    const { remote, port, crypto, unwanted = false } = answer;
    const wanted = !unwanted && (remote.direction === "sendrecv" || remote.direction === "sendonly");
    return [
      ...audioSection(remote.codecs, port, {
        protocol: section.protocol,
        direction: wanted ? "recvonly" : "inactive",
        rtcpMux: remote.rtcpMux,
        ptimeMs: remote.ptimeMs,
        mid: remote.frame.mid,
        crypto,
      }),
      ...(answer.lines ?? []),
    ];
  });
  return sdpText(local, timing, lines);
}

/** For a peer that invites without an offer: its answer comes in the ACK (RFC 3261 §13.2.1). */
export function writeOffer(local: LocalAudio): string {
  const { crypto } = local;
  const protocol = crypto.length === 0 ? "RTP/AVP" : "RTP/SAVP";
  const audio = { protocol, direction: "recvonly", rtcpMux: false, ptimeMs: 20, mid: undefined, crypto };
  return sdpText(local, "0 0", audioSection(OFFERED_CODECS, local.port, audio));
}

interface AudioLines {
  readonly protocol: string;
  readonly direction: string;
  readonly rtcpMux: boolean;
  readonly ptimeMs: number | undefined;
  readonly mid: string | undefined;
  readonly crypto: readonly SdesCrypto[];
}

function audioSection(codecs: CodecMap, port: number, lines: AudioLines): string[] {
  return [
    `m=audio ${port} ${lines.protocol} ${[...codecs.keys()].join(" ")}`,
    ...(lines.mid === undefined ? [] : [`a=mid:${lines.mid}`]),
    ...[...codecs].flatMap(([payloadType, codec]) => codecLines(payloadType, codec)),
    ...lines.crypto.map((crypto) => `a=crypto:${formatSdes(crypto)}`),
    ...(lines.ptimeMs === undefined ? [] : [`a=ptime:${lines.ptimeMs}`]),
    `a=${lines.direction}`,
    ...(lines.rtcpMux ? ["a=rtcp-mux"] : []),
  ];
}

function codecLines(payloadType: number, codec: AudioCodec): string[] {
  const name = codec.mimeType.slice("audio/".length);
  const channels = codec.channels === 1 ? "" : `/${codec.channels}`;
  const map = `a=rtpmap:${payloadType} ${name}/${codec.clockRateHz}${channels}`;
  // RFC 7587 §6.1. 16 kHz is all that is analysed, one channel, and FEC for lost packets.
  if (codec === OPUS) return [map, `a=fmtp:${payloadType} maxplaybackrate=16000;stereo=0;useinbandfec=1`];
  if (codec.mimeType === "audio/telephone-event") return [map, `a=fmtp:${payloadType} 0-16`];
  return [map];
}

function sdpText(local: LocalSession, timing: string, sections: readonly string[]): string {
  const address = `IN IP${isIP(local.host)} ${local.host}`;
  return [
    "v=0",
    `o=- ${local.sessionId} ${local.version} ${address}`,
    "s=tonetap",
    `c=${address}`,
    `t=${timing}`,
    ...sections,
    "",
  ].join("\r\n");
}
