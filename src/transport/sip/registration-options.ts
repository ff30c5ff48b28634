/** Where a server registers itself: meaning, range and default of each option, checked once. */
import { assertRange, TonetapError } from "../../core/errors.ts";
import { parseUri, type SipUri } from "./sip-uri.ts";

export interface RegistrationOptions {
  /** Whom we are called as: `sip:tonetap@pbx.example`. */
  readonly addressOfRecord: string;
  /** Where to say so: `sip:pbx.example;transport=tcp`, or an address. Default: the host of the address of record, UDP. */
  readonly registrar?: string;
  /** Default: the user of the address of record. */
  readonly username?: string;
  /** Answers a digest challenge. Default: none is answered. */
  readonly password?: string;
  /** How long a registration is asked for, s; what the registrar grants counts. 60–86,400, default 300. */
  readonly expiresS?: number;
  /** Told of each change. Default: a process warning when it fails. */
  readonly onChange?: (status: RegistrationStatus) => void;
}

export interface RegistrationStatus {
  /** `failed`: it is tried again by itself. */
  readonly state: "registering" | "registered" | "failed" | "closed";
  /** Why it failed, for people. */
  readonly reason?: string;
}

export interface ResolvedRegistration {
  readonly addressOfRecord: SipUri;
  readonly registrar: SipUri;
  readonly username: string;
  readonly password: string | undefined;
  readonly expiresS: number;
  readonly onChange: (status: RegistrationStatus) => void;
}

/** @throws TonetapError invalid-argument naming the option, its range and what came. */
export function resolveRegistration(options: RegistrationOptions): ResolvedRegistration {
  const { expiresS = 300 } = options;
  assertRange("sip register.expiresS", expiresS, 60, 86_400, "s");
  const addressOfRecord = sipUri("addressOfRecord", options.addressOfRecord);
  if (addressOfRecord.user === "") fail("addressOfRecord", "a SIP URI with a user", options.addressOfRecord);
  const { scheme, host } = addressOfRecord;
  const domain = host.includes(":") ? `[${host}]` : host;
  const port = addressOfRecord.port === undefined ? "" : `:${addressOfRecord.port}`;
  return {
    addressOfRecord,
    registrar: sipUri("registrar", options.registrar ?? `${scheme}:${domain}${port}`),
    username: options.username ?? addressOfRecord.user,
    password: options.password,
    expiresS,
    onChange: options.onChange ?? warnOfFailure,
  };
}

function sipUri(name: string, text: string): SipUri {
  const uri = parseUri(text);
  return uri === undefined || uri.host === "" ? fail(name, "a SIP URI such as sip:pbx.example", text) : uri;
}

function fail(name: string, want: string, got: unknown): never {
  throw new TonetapError(
    "invalid-argument",
    `sip register.${name} must be ${want}, got ${JSON.stringify(got)}`,
  );
}

function warnOfFailure({ state, reason }: RegistrationStatus): void {
  if (state === "failed") {
    process.emitWarning(new TonetapError("unavailable", `SIP registration failed: ${reason}`));
  }
}
