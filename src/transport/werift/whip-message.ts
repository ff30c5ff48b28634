/** Requests and answers of WHIP as values, whoever owns the socket, and what is the same in all of them. What they ask for is whip-server.ts. */
import { type ErrorCode, TonetapError } from "../../core/errors.ts";
import { problemOf } from "../../core/problem.ts";

/** Bytes of a request body at most. HTTP servers should stop reading there and call handle() with what they have. */
export const WHIP_MAX_BODY_BYTES = 64 * 1024;

export interface WhipRequest {
  /** Upper case. */
  readonly method: string;
  /** Without query. */
  readonly path: string;
  /** Lower-case names, as node:http gives them. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly query: URLSearchParams;
  readonly body: Uint8Array | string;
}

export interface WhipResponse {
  readonly status: number;
  /** Lower-case names, as in requests. Errors are problem documents (RFC 9457), as core/problem.ts writes them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** RFC 6750 §2.1; the scheme's name is case-insensitive (RFC 9110 §11.1). */
export const bearerOf = (request: WhipRequest): string | undefined =>
  /^bearer +([\w.~+/-]+=*)$/i.exec(header(request, "authorization") ?? "")?.[1];

export function denied(request: WhipRequest): WhipResponse {
  const challenge = bearerOf(request) === undefined ? "Bearer" : 'Bearer error="invalid_token"';
  return refusal(401, "unauthenticated", "a valid bearer token is needed", { "www-authenticate": challenge });
}

export function reply(status: number, headers: Record<string, string> = {}, body = ""): WhipResponse {
  return { status, headers, body };
}

/** A refusal whose status HTTP knows more exactly than our codes. */
export function refusal(
  status: number,
  code: ErrorCode,
  message: string,
  headers: Record<string, string> = {},
): WhipResponse {
  const problem = problemOf(new TonetapError(code, message), status);
  return { ...problem, headers: { ...problem.headers, ...headers } };
}

export function header(request: WhipRequest, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === "object" ? value.join(", ") : value;
}

export function wrongBody(
  request: WhipRequest,
  type: string,
  accept: Record<string, string>,
): WhipResponse | undefined {
  const got = header(request, "content-type")?.split(";")[0]?.trim().toLowerCase();
  if (got !== type) return refusal(415, "invalid-argument", `Content-Type must be ${type}`, accept);
  if (Buffer.byteLength(request.body) > WHIP_MAX_BODY_BYTES) {
    return refusal(413, "invalid-argument", `the body may have ${WHIP_MAX_BODY_BYTES} bytes`);
  }
  return undefined;
}

export const bodyText = (request: WhipRequest): string =>
  typeof request.body === "string" ? request.body : new TextDecoder().decode(request.body);
