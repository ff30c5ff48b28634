/**
 * Errors as HTTP answers: RFC 9457 problem details, the same from every door. The only place that knows which code is
 * which status; what is listened to and how is the doors' own.
 */
import type { ErrorCode, TonetapError } from "./errors.ts";

/** The status of each code, where HTTP knows none that says it more exactly. */
export const STATUS: Readonly<Record<ErrorCode, number>> = {
  "invalid-argument": 400,
  protocol: 400,
  unauthenticated: 401,
  policy: 403,
  "not-found": 404,
  conflict: 409,
  media: 422,
  internal: 500,
  overloaded: 503,
  unavailable: 503,
  closed: 503,
  timeout: 504,
};

export const TITLE: Readonly<Record<ErrorCode, string>> = {
  "invalid-argument": "An argument is not right",
  protocol: "The message is not right",
  unauthenticated: "Who are you?",
  policy: "Not allowed here",
  "not-found": "There is no such thing",
  conflict: "Not possible in this state",
  media: "The media cannot be decoded",
  internal: "A defect of the service",
  overloaded: "A limit is reached",
  unavailable: "Not available",
  closed: "The service is stopping",
  timeout: "It took too long",
};

/** Seconds after which a retryable request may come again. */
const RETRY_AFTER_S = 5;

/** The `type` of a code's problems. Stable. */
export const typeOf = (code: ErrorCode): string => `urn:tonetap:error:${code}`;

export interface ProblemAnswer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** RFC 6585 §4: 429 is about one caller, 503 about the service. */
const statusOf = ({ code, tooOften }: TonetapError): number => (tooOften ? 429 : STATUS[code]);

/** @param status instead of the error's own, where HTTP knows it more exactly (405, 413, 415). */
export function problemOf(error: TonetapError, status = statusOf(error)): ProblemAnswer {
  return {
    status,
    headers: {
      "content-type": "application/problem+json",
      ...(status === 503 || status === 429 ? { "retry-after": String(RETRY_AFTER_S) } : {}),
      // RFC 9110 §15.5.2, RFC 6750 §3.
      ...(status === 401 ? { "www-authenticate": "Bearer" } : {}),
    },
    body: JSON.stringify({
      type: typeOf(error.code),
      title: TITLE[error.code],
      status,
      // What broke inside is for the log, not for whoever asks.
      ...(error.code === "internal" ? {} : { detail: error.message }),
      code: error.code,
    }),
  };
}
