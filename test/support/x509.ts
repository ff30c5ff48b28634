/** Certificates for tests that speak TLS on loopback, made here (RFC 5280): good, expired, for clients, signed by whom one wants. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";

export interface Certificate {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
  /** For signing others. */
  readonly privateKey: KeyObject;
  readonly name: string;
}

export interface CertificateOptions {
  readonly name?: string;
  /** ms from now. Default: since yesterday, until tomorrow. */
  readonly fromMs?: number;
  readonly untilMs?: number;
  /** Default: itself. */
  readonly issuer?: Certificate;
}

const DAY_MS = 86_400_000;

/** For 127.0.0.1 and localhost; may sign others. */
export function makeCertificate({
  name = "tonetap test",
  fromMs = -DAY_MS,
  untilMs = DAY_MS,
  issuer,
}: CertificateOptions = {}): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = sequence(ECDSA_WITH_SHA256);
  const alternatives = sequence(der(0x82, Buffer.from("localhost")), der(0x87, Buffer.from([127, 0, 0, 1])));
  const extensions = sequence(
    sequence(BASIC_CONSTRAINTS, der(0x01, Buffer.of(0xff)), octets(sequence(der(0x01, Buffer.of(0xff))))),
    sequence(SUBJECT_ALTERNATIVES, octets(alternatives)),
  );
  const toBeSigned = sequence(
    der(0xa0, integer(2)),
    integer(++serial),
    algorithm,
    commonName(issuer?.name ?? name),
    sequence(time(fromMs), time(untilMs)),
    commonName(name),
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, extensions),
  );
  const signature = sign("sha256", toBeSigned, issuer?.privateKey ?? privateKey);
  const whole = sequence(toBeSigned, algorithm, der(0x03, Buffer.concat([Buffer.of(0), signature])));
  const lines = whole.toString("base64").replace(/.{64}/g, "$&\n").trimEnd();
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    privateKey,
    name,
  };
}

let serial = 0;

const ECDSA_WITH_SHA256 = Buffer.from("06082a8648ce3d040302", "hex");
const COMMON_NAME = Buffer.from("0603550403", "hex");
const BASIC_CONSTRAINTS = Buffer.from("0603551d13", "hex");
const SUBJECT_ALTERNATIVES = Buffer.from("0603551d11", "hex");

/** ITU-T X.690: tag, length, content. */
function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), content]);
}
const sequence = (...parts: readonly Buffer[]): Buffer => der(0x30, Buffer.concat(parts));
const octets = (content: Buffer): Buffer => der(0x04, content);
const integer = (value: number): Buffer => der(0x02, Buffer.of(value));
const commonName = (name: string): Buffer =>
  sequence(der(0x31, sequence(COMMON_NAME, der(0x0c, Buffer.from(name)))));
/** GeneralizedTime. */
const time = (ms: number): Buffer =>
  der(0x18, Buffer.from(`${new Date(Date.now() + ms).toISOString().replace(/[-:T]|\.\d+/g, "")}`));
