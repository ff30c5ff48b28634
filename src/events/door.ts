/**
 * Who may come in: the guard against web pages of other sites, for HTTP and WebSocket alike. It is no login: programs
 * that are not browsers send what they like.
 */
import type { IncomingMessage } from "node:http";
import { targetOf } from "../core/bare-http.ts";
import { TonetapError } from "../core/errors.ts";

export interface DoorOptions {
  /** Origins of pages that may use this service, besides its own: `https://desk.example`. `*` lets in all. */
  readonly allowedOrigins?: readonly string[];
  /** Host headers, without port, that are right besides an address and `localhost`: `tonetap.example`. `*`: all. */
  readonly allowedHosts?: readonly string[];
}

const LOOPBACK_NAMES: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * Two checks that a browser cannot get around for a page:
 * - Host: a connection to a loopback address must ask for a loopback name. A page of evil.example that has its name
 *   point to 127.0.0.1 (DNS rebinding) still sends `Host: evil.example`.
 * - Origin (RFC 6454): absent, or the same host as Host, or in the list. WebSockets know no same-origin policy.
 * @throws TonetapError policy
 */
export function checkDoor(request: IncomingMessage, options: DoorOptions): void {
  const { allowedHosts = [], allowedOrigins = [] } = options;
  const host = request.headers.host ?? "";
  const name = host.replace(/:\d*$/, "").toLowerCase();
  if (
    isLoopback(request.socket.localAddress ?? "") &&
    !LOOPBACK_NAMES.has(name) &&
    !allowedHosts.includes(name) &&
    !allowedHosts.includes("*")
  ) {
    throw new TonetapError("policy", "this Host is not served here: allow it with allowedHosts");
  }
  const { origin = "" } = request.headers;
  if (isForeignOrigin(request) && !allowedOrigins.includes(origin) && !allowedOrigins.includes("*")) {
    throw new TonetapError(
      "policy",
      "pages of this Origin may not use this service: allow it with allowedOrigins",
    );
  }
}

/**
 * The request's path and query. Its host is not the caller's: see {@link checkDoor}.
 * @throws TonetapError invalid-argument for a target that is no URL
 */
export function requestUrl(request: IncomingMessage): URL {
  const target = targetOf(request);
  if (target === undefined) throw new TonetapError("invalid-argument", "the request target is no URL");
  return target;
}

/** Whether a browser says that a page of another host sends this. The opaque origin `null` is another host. */
export function isForeignOrigin(request: IncomingMessage): boolean {
  const { origin, host = "" } = request.headers;
  if (origin === undefined) return false;
  return !URL.canParse(origin) || new URL(origin).host !== host.toLowerCase();
}

/** RFC 1122 §3.2.1.3, RFC 4291 §2.5.3; an IPv4 peer of a dual-stack socket shows as ::ffff:127.0.0.1. */
function isLoopback(address: string): boolean {
  return /^(::ffff:)?127\./.test(address) || address === "::1";
}
