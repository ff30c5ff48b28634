/** What a route is: its pattern, what its handler gets and gives. Serving them is http-server.ts. */
import type { IncomingHttpHeaders } from "node:http";
import type { Caller, Right } from "../core/caller.ts";
import { TonetapError } from "../core/errors.ts";
import { problemOf } from "../core/problem.ts";

export type HttpMethod = "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS";

/** What a handler is given. The body has been read whole. */
export interface HttpRequest {
  /** Upper case. A HEAD request arrives as GET. */
  readonly method: string;
  /** Without query, as it came (percent-encoded). */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Values of the pattern's `:names`, decoded; `*` holds the rest of the path after a trailing `/*`. */
  readonly params: Readonly<Record<string, string>>;
  /** Lower-case names. */
  readonly headers: IncomingHttpHeaders;
  /** Raw bytes; empty when there is no body. */
  readonly body: Buffer;
  /** Who asks; `NOBODY` where the route is public. Which calls it may see or change is for the handler to ask it. */
  readonly caller: Caller;
  /** Aborts when the client goes away before the answer. */
  readonly signal: AbortSignal;
}

/** What a handler gives back. */
export interface HttpResponse {
  /** Default 200. */
  readonly status?: number;
  /** Added to the headers that every answer carries; `content-length` is set for you. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Instead of a body: the response stays open, and this writes it. */
  readonly stream?: (out: HttpStream) => void;
}

/** A response that is written piece by piece. */
export interface HttpStream {
  /** Not handed to the kernel yet. */
  readonly bufferedBytes: number;
  readonly closed: boolean;
  write(data: Buffer, sent: ((error?: Error | null) => void) | undefined): void;
  /** Ends the response in order. */
  end(): void;
  /** Cuts the connection. */
  destroy(): void;
  /** Called once, when nothing more can be written, whoever ended it. */
  onClose(listener: () => void): void;
}

/** Throw a TonetapError to answer with the problem document of its code; anything else thrown is a 500. */
export type HttpHandler = (request: HttpRequest) => HttpResponse | Promise<HttpResponse>;

export interface RouteOptions {
  /** What the caller must be allowed, for some call at least; `public`: nobody is asked. Default `admin`. */
  readonly access?: Right | "public";
  /** Bytes of a body; a longer one gets 413. Default 65,536. */
  readonly maxBodyBytes?: number;
}

export interface Route {
  readonly method: HttpMethod;
  readonly segments: readonly string[];
  readonly handler: HttpHandler;
  readonly access: Right | "public";
  readonly maxBodyBytes: number;
}

/** JSON, not to be cached: an API's answer. */
export function jsonResponse(value: unknown, status = 200): HttpResponse {
  return {
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store" },
    body: JSON.stringify(value),
  };
}

/** The body as JSON. @throws TonetapError invalid-argument */
export function jsonBody(request: HttpRequest): unknown {
  try {
    return JSON.parse(request.body.toString());
  } catch (error) {
    throw new TonetapError("invalid-argument", "the body is not JSON", { cause: error });
  }
}

/** An answer of RFC 9457, for statuses that HTTP knows more exactly than our codes. */
export function problemResponse(error: TonetapError, status?: number): HttpResponse {
  return problemOf(error, status);
}

/** @throws TonetapError invalid-argument for a pattern that could never match */
export function parsePattern(pattern: string): string[] {
  if (!/^\/([\w.:~-]+\/)*([\w.:~-]+|\*)?$/.test(pattern)) {
    throw new TonetapError(
      "invalid-argument",
      `route pattern must be like /calls/:id or /files/*, got ${pattern}`,
    );
  }
  return pattern.slice(1).split("/");
}

/**
 * The pattern's parameters if the path fits it. `:name` takes one non-empty segment, a last `*` the rest.
 * @throws TonetapError invalid-argument for a path with broken percent-encoding
 */
export function matchRoute(segments: readonly string[], path: string): Record<string, string> | undefined {
  const parts = path.slice(1).split("/");
  const params: Record<string, string> = {};
  for (const [i, segment] of segments.entries()) {
    if (segment === "*") {
      params["*"] = parts.slice(i).map(decode).join("/");
      return params;
    }
    const part = parts[i];
    if (part === undefined) return undefined;
    if (segment.startsWith(":")) {
      if (part === "") return undefined;
      params[segment.slice(1)] = decode(part);
    } else if (segment !== part) return undefined;
  }
  return parts.length === segments.length ? params : undefined;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    throw new TonetapError("invalid-argument", "the path's percent-encoding is broken", { cause: error });
  }
}
