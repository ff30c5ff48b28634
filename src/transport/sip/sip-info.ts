/**
 * What a request within a call says beside media: consent in an INFO of our package (RFC 6086) or in a header field, keys in
 * the INFO that gateways send (`application/dtmf-relay`). Whose line it is for, the call's media know.
 */
import { LINE_CONSENTS, type LineConsent, type LineSignal, telephoneKey } from "../../core/line-signal.ts";
import { asUtf8, headerOf, headersOf, latin1, type SipRequest } from "./sip-message.ts";
import { type Refusal, refusal } from "./sip-request.ts";

/** Our Info-Package, told in Recv-Info. */
export const CONSENT_PACKAGE = "tonetap-consent";
const CONSENT_TYPE = "application/tonetap-consent+json";
const RELAY_TYPE = "application/dtmf-relay";
const DTMF_TYPE = "application/dtmf";
/** Longer bodies say nothing that is asked here. */
const MAX_BODY_BYTES = 4_096;

/** What an INFO says, and of whom: undefined where it names nobody. */
export interface InfoNews {
  readonly signal: LineSignal;
  readonly participantId?: string;
}

/** @returns undefined for one that says nothing: it is answered 200 all the same (RFC 6086 §4.2.2) */
export function readInfo(message: SipRequest): InfoNews | Refusal | undefined {
  const infoPackage = headerOf(message, "Info-Package");
  const type = (headerOf(message, "Content-Type") ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
  if (message.body.length > MAX_BODY_BYTES) {
    return refusal(513, `the body of an INFO may have ${MAX_BODY_BYTES} bytes`);
  }
  if (infoPackage !== undefined) {
    // RFC 6086 §4.2.2: with the packages that there are.
    if (infoPackage.split(";")[0]?.trim().toLowerCase() !== CONSENT_PACKAGE) {
      return refusal(469, `there is no Info-Package ${infoPackage.slice(0, 64)}`, {
        "Recv-Info": CONSENT_PACKAGE,
      });
    }
    if (message.body.length > 0 && type === CONSENT_TYPE) return readConsent(asUtf8(latin1(message.body)));
    const said = consentHeader(message);
    if (said === undefined) {
      return refusal(
        400,
        `an INFO of ${CONSENT_PACKAGE} has a body of ${CONSENT_TYPE}, or X-Tonetap-Consent`,
      );
    }
    return typeof said === "object" ? said : named(said, headerOf(message, "X-Tonetap-Participant"));
  }
  if (message.body.length === 0) return undefined;
  const text = asUtf8(latin1(message.body));
  if (type === RELAY_TYPE) return pressed(/^\s*Signal\s*=\s*(\S+)/im.exec(text)?.[1]);
  if (type === DTMF_TYPE) return pressed(text);
  return refusal(415, `an INFO of ${type.slice(0, 64)} is not read`, {
    Accept: [CONSENT_TYPE, RELAY_TYPE, DTMF_TYPE].join(", "),
  });
}

/**
 * `X-Tonetap-Consent` of a request within a call.
 * @returns undefined where it stands not, or says pending: nobody takes an answer back by not having one
 */
export function consentHeader(message: SipRequest): LineConsent | Refusal | undefined {
  const values = headersOf(message, "X-Tonetap-Consent");
  if (values.length > 1) return refusal(400, "X-Tonetap-Consent stands there more than once");
  const [value] = values;
  if (value === undefined) return undefined;
  const said = value.trim().toLowerCase();
  if (said === "pending") return undefined;
  return (
    LINE_CONSENTS.find((consent) => consent === said) ??
    refusal(400, "X-Tonetap-Consent must be one of pending, granted, withdrawn")
  );
}

function readConsent(text: string): InfoNews | Refusal {
  const { consent, participant } = objectOf(text);
  const said = LINE_CONSENTS.find((candidate) => candidate === consent);
  if (said === undefined || (participant !== undefined && typeof participant !== "string")) {
    return refusal(
      400,
      `${CONSENT_TYPE} is {"consent": "granted" or "withdrawn", "participant": its id, if needed}`,
    );
  }
  return named(said, participant);
}

function objectOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function named(consent: LineConsent, participantId: string | undefined): InfoNews {
  const signal = { kind: "consent", consent, by: "SIP INFO", nature: "act" } as const;
  return participantId === undefined ? { signal } : { signal, participantId };
}

function pressed(text: string | undefined): InfoNews | undefined {
  const key = telephoneKey(text ?? "");
  // A hook flash, or a key of another world: heard, and of no meaning.
  return key === undefined ? undefined : { signal: { kind: "key", key } };
}

/** Whoever is named must be in the call. */
export const nobody = (participantId: string): Refusal =>
  refusal(400, `there is no participant ${participantId.slice(0, 128)} in this call`);
