/**
 * Reads the SDP of a WHIP publisher and reduces it to the one audio m-line that is taken. What comes from the network
 * is checked here, line by line, before werift sees any of it. The answer is whip-answer.ts.
 */
import { isIP } from "node:net";
import { TonetapError } from "../../core/errors.ts";
import { type AudioCodec, OPUS, PCMA, PCMU, RED_OPUS } from "../../core/rtp.ts";

export const AUDIO_LEVEL_URI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

/** Candidates taken from one peer at most; a browser has 2–20. */
export const MAX_CANDIDATES = 64;

/** One payload type that is taken. */
export interface OfferedCodec {
  readonly payloadType: number;
  readonly codec: AudioCodec;
  /** The publisher's own `a=fmtp` parameters, or "". */
  readonly fmtp: string;
  /** Whether generic NACK is offered for it (RFC 4585 §4.2). Chromium answers NACKs without. */
  readonly nack: boolean;
}

/** RFC 8839 §5.4. */
export interface IceCredentials {
  readonly ufrag: string;
  readonly pwd: string;
}

/** An m-line as offered; the answer has one for each, in the same order (RFC 3264 §6). */
export interface OfferedSection {
  /** `audio`, `video`, `application`, … */
  readonly kind: string;
  readonly protocol: string;
  /** First format, for the answer's m-line if it is rejected. */
  readonly format: string;
  readonly mid: string | undefined;
  /** The `a=rtpmap` and `a=fmtp` lines of that format. */
  readonly formatLines: readonly string[];
}

export interface WhipOffer {
  readonly sections: readonly OfferedSection[];
  /** Index in `sections` of the audio that is taken. */
  readonly audio: number;
  readonly mid: string;
  /** Mid of the first m-line in the audio's BUNDLE group, which holds the transport; undefined without a group. */
  readonly bundleTag: string | undefined;
  /** Best first: RED before the Opus it wraps, so that the publisher uses it. */
  readonly codecs: readonly OfferedCodec[];
  /** Id of the RFC 6464 header extension, if offered. */
  readonly audioLevelId: number | undefined;
  readonly reducedSizeRtcp: boolean;
  readonly iceUfrag: string;
  /** RFC 8842 §5.3: `active` peers can only be DTLS clients. */
  readonly setup: "actpass" | "active" | "passive";
  /** The offer with this one m-line and nothing that is not needed: what werift gets. */
  readonly reducedSdp: string;
}

const refuse = (message: string): never => {
  throw new TonetapError("protocol", message);
};

/** @throws TonetapError protocol when `sdp` is malformed or has no audio that can be taken. */
export function parseWhipOffer(sdp: string): WhipOffer {
  const [session, ...media] = splitSections(sdpLines(sdp));
  if (session === undefined || session[0] !== "v=0") refuse("the SDP must begin with v=0");
  const sessionLines = session ?? [];
  const sections = media.map(parseSection);
  if (sections.length === 0) refuse("the SDP has no m-line");

  const bundle = attributes(sessionLines, "group")
    .map((value) => value.split(" "))
    .find(([semantics]) => semantics === "BUNDLE")
    ?.slice(1);
  const audio = sections.findIndex((section) => section.kind === "audio" && isOffered(section));
  const section = sections[audio];
  if (section === undefined) return refuse("the offer has no audio m-line; this endpoint takes audio only");

  const direction = directionOf(section.lines) ?? directionOf(sessionLines) ?? "sendrecv";
  if (direction !== "sendonly" && direction !== "sendrecv") {
    refuse(`the audio m-line must be sendonly, it is ${direction}`);
  }
  if (!section.protocol.endsWith("TLS/RTP/SAVPF")) {
    refuse(`audio must be UDP/TLS/RTP/SAVPF, it is ${section.protocol}`);
  }
  if (!section.lines.includes("a=rtcp-mux")) refuse("the audio m-line must have a=rtcp-mux");
  const mid = section.mid ?? refuse("the audio m-line must have a=mid");

  // RFC 9143 §7.1.3: a bundle-only m-line has no transport of its own, that of the group's first m-line counts.
  const bundleTag = bundle?.includes(mid) ? bundle[0] : undefined;
  const tagged = sections.find((candidate) => candidate.mid !== undefined && candidate.mid === bundleTag);
  const holders = [section.lines, tagged?.lines ?? [], sessionLines];
  const transport = (name: string): string[] =>
    holders.map((lines) => attributes(lines, name)).find((found) => found.length > 0) ?? [];
  const ufrag = iceChars(transport("ice-ufrag")[0], "ice-ufrag", 4) ?? refuse("a=ice-ufrag is missing");
  const pwd = iceChars(transport("ice-pwd")[0], "ice-pwd", 22) ?? refuse("a=ice-pwd is missing");
  const fingerprints = transport("fingerprint").filter((value) =>
    /^[a-z0-9-]+ ([0-9A-F]{2}:)+[0-9A-F]{2}$/i.test(value),
  );
  if (fingerprints.length === 0) refuse("a=fingerprint is missing or malformed");
  const setup = transport("setup")[0] ?? "actpass";
  if (setup !== "actpass" && setup !== "active" && setup !== "passive") {
    return refuse(`a=setup must be actpass, active or passive, it is ${setup}`);
  }

  const codecs = chooseCodecs(section);
  if (codecs.length === 0) refuse("the audio m-line must offer opus/48000/2, PCMU or PCMA");
  const audioLevelId = audioLevelExtension(section.lines) ?? audioLevelExtension(sessionLines);
  const candidates = transport("candidate").filter(isUsableCandidate).slice(0, MAX_CANDIDATES);

  const reducedSdp = [
    "v=0",
    "o=- 1 1 IN IP4 0.0.0.0",
    "s=-",
    "t=0 0",
    `a=group:BUNDLE ${mid}`,
    `m=audio 9 UDP/TLS/RTP/SAVPF ${codecs.map((codec) => codec.payloadType).join(" ")}`,
    "c=IN IP4 0.0.0.0",
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${pwd}`,
    ...fingerprints.map((value) => `a=fingerprint:${value}`),
    `a=setup:${setup}`,
    `a=mid:${mid}`,
    "a=sendonly",
    "a=rtcp-mux",
    ...(audioLevelId === undefined ? [] : [`a=extmap:${audioLevelId} ${AUDIO_LEVEL_URI}`]),
    ...codecs.flatMap(({ payloadType, codec, fmtp }) => [
      `a=rtpmap:${payloadType} ${encodingName(codec)}`,
      ...(fmtp === "" ? [] : [`a=fmtp:${payloadType} ${fmtp}`]),
    ]),
    ...attributes(section.lines, "ssrc")
      .filter((value) => /^\d{1,10} cname:\S+$/.test(value))
      .map((value) => `a=ssrc:${value}`),
    // No a=end-of-candidates: a peer behind NAT or mDNS may yet show up by its own checks (RFC 8445 §7.3.1.3).
    ...candidates.map((value) => `a=${bareCandidate(value)}`),
    "",
  ].join("\r\n");

  return {
    sections,
    audio,
    mid,
    bundleTag: tagged?.mid,
    codecs,
    audioLevelId,
    reducedSizeRtcp: section.lines.includes("a=rtcp-rsize"),
    iceUfrag: ufrag,
    setup,
    reducedSdp,
  };
}

/** A PATCH's body (RFC 8840 §9): the candidates that can be used, and the ICE session they belong to. */
export interface IceFragment {
  /** Undefined when there is none: RFC 8840 wants it, but the ETag says as much. */
  readonly ufrag: string | undefined;
  readonly pwd: string | undefined;
  /** Without the leading `a=`. */
  readonly candidates: readonly string[];
}

/** @throws TonetapError protocol when `body` is not an SDP fragment. */
export function parseIceFragment(body: string): IceFragment {
  const lines = sdpLines(body);
  return {
    ufrag: iceChars(attributes(lines, "ice-ufrag")[0], "ice-ufrag", 4),
    pwd: iceChars(attributes(lines, "ice-pwd")[0], "ice-pwd", 22),
    // RFC 9725 §4.3.2: candidates of no use are silently discarded.
    candidates: attributes(lines, "candidate").filter(isUsableCandidate).map(bareCandidate),
  };
}

/** RFC 8839 §5.4: 4–256 characters of a fragment, 22–256 of a password. */
function iceChars(value: string | undefined, name: string, least: number): string | undefined {
  if (value === undefined || (/^[A-Za-z0-9+/]{4,256}$/.test(value) && value.length >= least)) return value;
  return refuse(`a=${name} must be ${least}–256 ice-chars`);
}

/** `opus/48000/2`, as a=rtpmap writes it. */
export function encodingName(codec: AudioCodec): string {
  const name = codec.mimeType.slice("audio/".length);
  return `${name}/${codec.clockRateHz}${codec.channels === 1 ? "" : `/${codec.channels}`}`;
}

interface ParsedSection extends OfferedSection {
  readonly port: number;
  readonly formats: readonly string[];
  readonly lines: readonly string[];
}

function sdpLines(text: string): string[] {
  const lines = text.split(/\r\n|\n|\r/).filter((line) => line !== "");
  const bad = lines.findIndex((line) => !/^[a-z]=/.test(line));
  if (bad >= 0) refuse(`line ${bad + 1} of the SDP is not <letter>=<value>`);
  return lines;
}

/** Session lines first, then one array an m-line. */
function splitSections(lines: readonly string[]): string[][] {
  const sections: string[][] = [[]];
  for (const line of lines) {
    if (line.startsWith("m=")) sections.push([]);
    sections.at(-1)?.push(line);
  }
  return sections;
}

function parseSection(lines: readonly string[]): ParsedSection {
  const head = lines[0] ?? "";
  const match = /^m=([a-z]+) (\d{1,5})(?:\/\d+)? (\S+) (\S.*)$/.exec(head);
  const [, kind, port, protocol, formats] = match ?? [];
  if (kind === undefined || protocol === undefined || formats === undefined) {
    return refuse(`malformed m-line: ${head.slice(0, 80)}`);
  }
  const all = formats.split(" ").filter((format) => format !== "");
  const mid = attributes(lines, "mid")[0];
  if (mid !== undefined && !/^[\w!#$%&'*+.^`{|}~-]{1,64}$/.test(mid)) refuse("a=mid must be a token");
  const format = all[0] ?? "0";
  const formatLines = lines.filter(
    (line) => /^a=(rtpmap|fmtp):/.test(line) && line.split(/[: ]/)[1] === format,
  );
  return { kind, port: Number(port), protocol, formats: all, format, mid, formatLines, lines };
}

/** RFC 3264 §8.2: port 0 means not offered, unless the m-line only borrows another's transport. */
const isOffered = (section: ParsedSection): boolean =>
  section.port !== 0 || section.lines.includes("a=bundle-only");

/** Values of every `a=<name>:` line. */
function attributes(lines: readonly string[], name: string): string[] {
  const prefix = `a=${name}:`;
  return lines.filter((line) => line.startsWith(prefix)).map((line) => line.slice(prefix.length).trim());
}

const directionOf = (lines: readonly string[]): string | undefined =>
  lines.map((line) => line.slice(2)).find((name) => /^(sendonly|recvonly|sendrecv|inactive)$/.test(name));

function audioLevelExtension(lines: readonly string[]): number | undefined {
  for (const value of attributes(lines, "extmap")) {
    const [id, uri] = value.split(" ");
    // RFC 8285 §5: 1–14 fit one-byte headers, to 255 two-byte ones.
    const number = Number.parseInt(id ?? "", 10);
    if (uri === AUDIO_LEVEL_URI && number >= 1 && number <= 255) return number;
  }
  return undefined;
}

/** One format: Opus with its RED if there is one, else G.711. */
function chooseCodecs(section: ParsedSection): OfferedCodec[] {
  const names = new Map<number, string>([
    [0, "pcmu/8000"],
    [8, "pcma/8000"],
  ]);
  for (const value of attributes(section.lines, "rtpmap")) {
    const match = /^(\d{1,3}) (\S+)$/.exec(value);
    if (match?.[1] !== undefined && match[2] !== undefined)
      names.set(Number(match[1]), match[2].toLowerCase());
  }
  const find = (name: string): number | undefined =>
    section.formats
      .filter((format) => /^\d{1,3}$/.test(format))
      .map(Number)
      .find((payloadType) => payloadType <= 127 && names.get(payloadType)?.replace(/\/1$/, "") === name);
  const fmtpOf = (payloadType: number): string =>
    attributes(section.lines, "fmtp")
      .find((value) => value.startsWith(`${payloadType} `))
      ?.slice(`${payloadType} `.length) ?? "";

  const feedback = attributes(section.lines, "rtcp-fb");
  const taken = (payloadType: number, codec: AudioCodec): OfferedCodec => ({
    payloadType,
    codec,
    fmtp: fmtpOf(payloadType),
    nack: feedback.includes(`${payloadType} nack`) || feedback.includes("* nack"),
  });
  const opus = find("opus/48000/2");
  if (opus !== undefined) {
    const red = find("red/48000/2");
    // RFC 2198 §5: the fmtp names what is inside. Ours is Opus and older Opus.
    const wraps = red !== undefined && fmtpOf(red) === `${opus}/${opus}`;
    return [...(wraps ? [taken(red, RED_OPUS)] : []), taken(opus, OPUS)];
  }
  const pcmu = find("pcmu/8000");
  if (pcmu !== undefined) return [taken(pcmu, PCMU)];
  const pcma = find("pcma/8000");
  return pcma === undefined ? [] : [taken(pcma, PCMA)];
}

/**
 * Without the extensions after its type, such as libwebrtc's `generation`: werift takes a nominated pair only if that
 * is the number of its own ICE restarts.
 */
const bareCandidate = (value: string): string => `candidate:${value.split(" ").slice(0, 8).join(" ")}`;

/** RFC 8839 §5.1: foundation component transport priority address port typ type. */
function isUsableCandidate(value: string): boolean {
  const [foundation, component, transport, priority, address, port, typ, type] = value.split(" ");
  return (
    /^[A-Za-z0-9+/]{1,32}$/.test(foundation ?? "") &&
    component === "1" &&
    // Host candidates of browsers are often mDNS names: resolving those needs multicast, and is not worth it,
    // because the browser's own checks reach us and make it a peer-reflexive candidate.
    transport?.toLowerCase() === "udp" &&
    isIP(address ?? "") !== 0 &&
    /^\d{1,10}$/.test(priority ?? "") &&
    /^\d{1,5}$/.test(port ?? "") &&
    Number(port) >= 1 &&
    Number(port) <= 65_535 &&
    typ === "typ" &&
    /^(host|srflx|prflx|relay)$/.test(type ?? "")
  );
}
