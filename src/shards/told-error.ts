/** Errors on their way between threads: what is left of them on the other side. */
import { TonetapError } from "../core/errors.ts";
import type { ToldError } from "./shard-protocol.ts";

export function told(error: unknown): ToldError {
  const own = TonetapError.from(error);
  const { code, message, retryable, cause } = own;
  const systemCode = cause instanceof Error && "code" in cause ? String(cause.code) : undefined;
  return { code, message, retryable, systemCode };
}

export function untold({ code, message, retryable, systemCode }: ToldError): TonetapError {
  if (systemCode === undefined) return new TonetapError(code, message, { retryable });
  const system: Error = new TonetapError(code, message);
  return new TonetapError(code, message, { retryable, cause: Object.assign(system, { code: systemCode }) });
}
