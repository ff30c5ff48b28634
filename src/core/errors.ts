/** The one error class and its closed set of codes. Expected outcomes (a lost packet, a full queue) are values, not errors. */

export type ErrorCode =
  /** An option or argument is out of range; the message names option, range and value. */
  | "invalid-argument"
  /** A peer sent something its protocol does not allow. */
  | "protocol"
  /** A file or stream could not be decoded. */
  | "media"
  /** A call, participant, model or file does not exist. */
  | "not-found"
  /** The thing exists already, or is in the wrong state for this. */
  | "conflict"
  /** Nobody said who they are, or not so that it can be believed. */
  | "unauthenticated"
  /** The policy in force forbids it. */
  | "policy"
  /** A limit is reached; try later or elsewhere. */
  | "overloaded"
  /** A device, package or backend that this needs is not there. */
  | "unavailable"
  /** It took longer than its limit. */
  | "timeout"
  /** It was closed or aborted by its owner. */
  | "closed"
  /** A defect of ours. */
  | "internal";

export interface TonetapErrorOptions {
  /** The same call may succeed later. Default: true for overloaded, unavailable and timeout. */
  readonly retryable?: boolean;
  /** Of `overloaded`: this caller asks too often, others are served (429 over HTTP, not 503). Default false. */
  readonly tooOften?: boolean;
  readonly cause?: unknown;
}

/** Every error that Tonetap throws or reports. `code` is stable API; `message` is for people. */
export class TonetapError extends Error {
  override readonly name = "TonetapError";
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly tooOften: boolean;

  constructor(code: ErrorCode, message: string, options: TonetapErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable =
      options.retryable ?? (code === "overloaded" || code === "unavailable" || code === "timeout");
    this.tooOften = options.tooOften ?? false;
  }

  /** The error itself if it is one of ours, else wrapped as `code` with the original as `cause`. */
  static from(error: unknown, code: ErrorCode = "internal", prefix = ""): TonetapError {
    if (error instanceof TonetapError) return error;
    const message = error instanceof Error ? error.message : String(error);
    return new TonetapError(code, prefix === "" ? message : `${prefix}: ${message}`, { cause: error });
  }
}

/** Throws `invalid-argument` unless `value` is a finite number within [min, max]. */
export function assertRange(name: string, value: number, min: number, max: number, unit = ""): void {
  if (!Number.isFinite(value) || value < min || value > max) {
    throw new TonetapError(
      "invalid-argument",
      `${name} must be ${min}–${max}${unit === "" ? "" : ` ${unit}`}, got ${value}`,
    );
  }
}
