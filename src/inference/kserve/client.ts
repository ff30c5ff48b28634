/** The Open Inference Protocol (KServe v2, Triton) as Tonetap uses it, whichever way it travels. Retrying is kserve-backend.ts. */
import { TonetapError } from "../../core/errors.ts";
import type { Closable } from "../../core/lifecycle.ts";

/** A tensor of 32-bit floats, row-major, little-endian as every processor that Node runs on. */
export interface FloatTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

export interface TensorMetadata {
  readonly name: string;
  /** `FP32` is what is used. */
  readonly datatype: string;
  /** −1 for a dimension that varies. */
  readonly shape: readonly number[];
}

export interface ModelMetadata {
  readonly inputs: readonly TensorMetadata[];
  readonly outputs: readonly TensorMetadata[];
}

/** How long a call may take, and what gives it up earlier. */
export interface CallLimits {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * One connection to one model of one server. Every call rejects with a TonetapError; `retryable` says whether the same
 * call may work in a moment: timeout, unavailable, overloaded, protocol, not-found, invalid-argument, internal, closed.
 */
export interface KserveClient extends Closable {
  /** Name and version of the server. */
  server(limits: CallLimits): Promise<string>;
  metadata(limits: CallLimits): Promise<ModelMetadata>;
  /** Whether the model can be asked. Unreachable is `false`. */
  ready(limits: CallLimits): Promise<boolean>;
  /** @returns the output's numbers */
  infer(inputs: readonly FloatTensor[], output: string, limits: CallLimits): Promise<Float32Array>;
}

/** Where a model is. */
export interface KserveTarget {
  /** `http://`, `https://`, `grpc://` or `grpcs://`. */
  readonly url: URL;
  readonly model: string;
  /** Empty: the server's choice. */
  readonly version: string;
  /** Sent with every call, e.g. `authorization`. */
  readonly headers: Readonly<Record<string, string>>;
  /** PEM of who vouches for the server, instead of the certificate authorities that everybody trusts. */
  readonly ca?: string;
}

/** Triton's schedule policy extension: the server gives up a request that cannot be done in so many microseconds. */
export const timeoutParameter = (timeoutMs: number): number => Math.max(1, Math.ceil(timeoutMs * 1_000));

/** The numbers of a raw tensor. A copy: a response's bytes begin anywhere. @throws TonetapError protocol */
export function floatsOf(raw: Uint8Array): Float32Array {
  if (raw.length % 4 !== 0)
    throw new TonetapError("protocol", `a tensor of floats has ${raw.length} bytes, which 4 does not divide`);
  return new Float32Array(new Uint8Array(raw).buffer);
}
