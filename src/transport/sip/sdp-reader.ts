/** Reads SDP (RFC 8866) into lines that know where they belong. What is offered and answered is sdp.ts. */

/** Media sections of a session. */
const MAX_SECTIONS = 32;

export interface SdpAttribute {
  readonly name: string;
  /** Empty for flags. */
  readonly value: string;
}

export interface SdpConnection {
  readonly family: "IP4" | "IP6";
  /** An address or a name. */
  readonly host: string;
}

export interface SdpSection {
  readonly kind: string;
  readonly port: number;
  /** `RTP/AVP`, … */
  readonly protocol: string;
  readonly formats: readonly string[];
  /** Its own, else the session's. */
  readonly connection: SdpConnection | undefined;
  readonly attributes: readonly SdpAttribute[];
}

export interface SdpSession {
  /** Value of `t=`. */
  readonly timing: string;
  readonly attributes: readonly SdpAttribute[];
  readonly sections: readonly SdpSection[];
}

const LINE = /^([a-z])=(.*)$/;
const SECTION = /^([!-~]+) ([0-9]{1,5})(?:\/[0-9]+)? ([!-~]+) ([ -~]+)$/;
/** A multicast address may have a TTL behind it. */
const CONNECTION = /^IN (IP4|IP6) ([^\s/]+)(?:\/[0-9/]+)?$/;

/** Never throws: a text that is no SDP gives a sentence saying why. */
export function readSdp(text: string): SdpSession | string {
  const lines = text.split(/\r\n|\n|\r/).filter((line) => line !== "");
  if (lines[0] !== "v=0") return "SDP begins with v=0";
  const session = { timing: "0 0", attributes: [] as SdpAttribute[] };
  const sections: { -readonly [K in keyof SdpSection]: SdpSection[K] }[] = [];
  let shared: SdpConnection | undefined;
  let attributes = session.attributes;
  for (const line of lines) {
    const [, type, value = ""] = LINE.exec(line) ?? [];
    switch (type) {
      case undefined:
        return "a line of the SDP is not letter=value";
      case "m": {
        const [, kind = "", port = "", protocol = "", formats = ""] = SECTION.exec(value) ?? [];
        if (kind === "" || Number(port) > 65_535) return "an m= line of the SDP is unreadable";
        if (sections.length === MAX_SECTIONS) return `the SDP has more than ${MAX_SECTIONS} m= lines`;
        attributes = [];
        sections.push({
          kind,
          port: Number(port),
          protocol,
          formats: formats.split(" ").filter((format) => format !== ""),
          connection: shared,
          attributes,
        });
        break;
      }
      case "c": {
        const [, family, host] = CONNECTION.exec(value) ?? [];
        if ((family !== "IP4" && family !== "IP6") || host === undefined) {
          return "a c= line of the SDP is unreadable";
        }
        const section = sections.at(-1);
        if (section === undefined) shared = { family, host };
        else section.connection = { family, host };
        break;
      }
      case "t":
        if (sections.length === 0) session.timing = value;
        break;
      case "a": {
        const colon = value.indexOf(":");
        attributes.push({
          name: (colon < 0 ? value : value.slice(0, colon)).toLowerCase(),
          value: colon < 0 ? "" : value.slice(colon + 1),
        });
        break;
      }
      default:
        // o=, s=, b= and the rest say nothing that the audio depends on.
        break;
    }
  }
  return { ...session, sections };
}

/** Values of the attributes of that name. */
export const attributesOf = (of: { readonly attributes: readonly SdpAttribute[] }, name: string): string[] =>
  of.attributes.filter((attribute) => attribute.name === name).map(({ value }) => value);
