/**
 * WHIP (RFC 9725) without an HTTP server: a function from request to response. Whoever owns the socket reads the body,
 * calls handle() and writes what comes back. Negotiation is whip-offer.ts, a publisher's connection whip-session.ts.
 */
import { randomUUID } from "node:crypto";
import { STATUS_CODES } from "node:http";
import type { AudioSource, ParticipantInfo } from "../../core/audio-source.ts";
import { type Clock, systemClock } from "../../core/clock.ts";
import { assertRange, type ErrorCode, TonetapError } from "../../core/errors.ts";
import type { Closable } from "../../core/lifecycle.ts";
import { participantFromQuery } from "./participant-query.ts";
import { parseIceFragment, parseWhipOffer } from "./whip-offer.ts";
import { type IceOptions, type IceServer, WhipSession } from "./whip-session.ts";

/** Bytes of a request body at most. HTTP servers should stop reading there and call handle() with what they have. */
export const WHIP_MAX_BODY_BYTES = 64 * 1024;

const OFFER_TYPE = "application/sdp";
const FRAGMENT_TYPE = "application/trickle-ice-sdpfrag";

/** Seconds that a refused publisher is asked to wait. */
const RETRY_AFTER_S = 5;

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
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface WhipSessionInfo {
  /** Last segment of the session's URL. Keep it secret: who knows it can end the session. */
  readonly id: string;
  readonly participant: ParticipantInfo;
}

export interface WhipEndpointOptions extends IceOptions {
  /**
   * A publisher has come. Subscribe to `source.packets` before returning: nothing is kept for later. Throw a
   * TonetapError to refuse it (policy 403, conflict 409, overloaded 503, invalid-argument 400).
   */
  readonly onSession: (source: AudioSource, session: WhipSessionInfo) => void | Promise<void>;
  /** Says whether a bearer token may publish; undefined when none came. Default: everyone may. */
  readonly authorize?: (token: string | undefined) => boolean | Promise<boolean>;
  /** Path of the endpoint; sessions are one segment below. Default `/whip`. */
  readonly path?: string;
  /** Origins of pages that may publish, besides pages of the endpoint's own; `*` means any. Default none. */
  readonly allowedOrigins?: readonly string[];
  /** ms without a packet after which a publisher has left. 1,000–600,000; default 10,000: browsers send RTCP every 5 s. */
  readonly inactivityMs?: number;
  /** Publishers at once; one more gets 503. 1–10,000; default 200. */
  readonly maxSessions?: number;
  readonly clock?: Clock;
}

export interface WhipEndpoint extends Closable, AsyncDisposable {
  /** Never rejects. */
  handle(request: WhipRequest): Promise<WhipResponse>;
  /** Publishers connected or connecting. */
  readonly sessionCount: number;
}

/** @throws TonetapError invalid-argument when an option is out of range. */
export function createWhipEndpoint(options: WhipEndpointOptions): WhipEndpoint {
  return new Endpoint(options);
}

class Endpoint implements WhipEndpoint {
  readonly #options: WhipEndpointOptions;
  readonly #path: string;
  readonly #inactivityMs: number;
  readonly #maxSessions: number;
  readonly #clock: Clock;
  readonly #sessions = new Map<string, WhipSession>();
  /** Sessions being opened: they count against the limit. */
  readonly #opening = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  constructor(options: WhipEndpointOptions) {
    this.#options = options;
    this.#path = options.path ?? "/whip";
    this.#inactivityMs = options.inactivityMs ?? 10_000;
    this.#maxSessions = options.maxSessions ?? 200;
    this.#clock = options.clock ?? systemClock;
    assertRange("whip inactivityMs", this.#inactivityMs, 1_000, 600_000, "ms");
    assertRange("whip maxSessions", this.#maxSessions, 1, 10_000);
  }

  get sessionCount(): number {
    return this.#sessions.size + this.#opening.size;
  }

  async handle(request: WhipRequest): Promise<WhipResponse> {
    let response: WhipResponse;
    try {
      response = await this.#route(request);
    } catch (error) {
      response = problemOf(error);
    }
    return { ...response, headers: { ...response.headers, ...this.#cors(request) } };
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #closeAll(): Promise<void> {
    await Promise.allSettled(this.#opening);
    await Promise.all([...this.#sessions.values()].map((session) => session.close()));
  }

  async #route(request: WhipRequest): Promise<WhipResponse> {
    const { method, path } = request;
    if (path === this.#path || path === `${this.#path}/`) {
      if (method === "OPTIONS") return reply(200, { Allow: "OPTIONS, POST", "Accept-Post": OFFER_TYPE });
      if (method !== "POST")
        return problem(405, `${method} is not for a WHIP endpoint`, { Allow: "OPTIONS, POST" });
      return (await this.#denied(request)) ?? this.#publish(request);
    }
    if (!path.startsWith(`${this.#path}/`)) return problem(404, "no WHIP resource here");
    const allow = { Allow: "OPTIONS, PATCH, DELETE" };
    if (method === "OPTIONS") return reply(200, { ...allow, "Accept-Patch": FRAGMENT_TYPE });
    if (method !== "PATCH" && method !== "DELETE") {
      return problem(405, `${method} is not for a WHIP session`, allow);
    }
    const denied = await this.#denied(request);
    if (denied !== undefined) return denied;
    const session = this.#sessions.get(path.slice(this.#path.length + 1));
    if (session === undefined) return problem(404, "no such session: it has ended, or never was");
    if (method === "PATCH") return this.#trickle(request, session);
    await session.close();
    return reply(200);
  }

  async #publish(request: WhipRequest): Promise<WhipResponse> {
    const wrong = wrongBody(request, OFFER_TYPE, { "Accept-Post": OFFER_TYPE });
    if (wrong !== undefined) return wrong;
    if (this.#closing !== undefined) throw new TonetapError("overloaded", "the endpoint is closing");
    if (this.sessionCount >= this.#maxSessions) {
      throw new TonetapError("overloaded", `all ${this.#maxSessions} sessions are taken`);
    }
    const opening = this.#open(request);
    this.#opening.add(opening);
    try {
      return await opening;
    } finally {
      this.#opening.delete(opening);
    }
  }

  async #open(request: WhipRequest): Promise<WhipResponse> {
    const id = randomUUID();
    const participant = participantFromQuery(request.query, id);
    const offer = parseWhipOffer(bodyText(request));
    const session = await WhipSession.open({
      id,
      offer,
      ice: this.#options,
      clock: this.#clock,
      inactivityMs: this.#inactivityMs,
      onEnd: () => this.#sessions.delete(id),
    });
    try {
      await this.#options.onSession(session.source, { id, participant });
    } catch (error) {
      await session.close();
      throw error;
    }
    if (session.source.closed) throw new TonetapError("unavailable", "the session ended before it began");
    this.#sessions.set(id, session);
    const link = (this.#options.iceServers ?? []).map(linkOf).join(", ");
    return reply(
      201,
      {
        "Content-Type": OFFER_TYPE,
        Location: `${this.#path}/${id}`,
        ETag: session.etag,
        ...(link === "" ? {} : { Link: link }),
      },
      session.answerSdp,
    );
  }

  /** RFC 9725 §4.3: trickle ICE is taken; a restart is not, which §4.3.1 says with 422. */
  async #trickle(request: WhipRequest, session: WhipSession): Promise<WhipResponse> {
    const wrong = wrongBody(request, FRAGMENT_TYPE, { "Accept-Patch": FRAGMENT_TYPE });
    if (wrong !== undefined) return wrong;
    const match = header(request, "if-match");
    if (match === undefined) return problem(428, "PATCH needs If-Match with the session's ETag");
    const fragment = parseIceFragment(bodyText(request));
    if (session.isRestart(fragment)) return problem(422, "ICE restart is not supported: publish anew");
    if (match !== "*" && !match.split(",").some((tag) => tag.trim() === session.etag)) {
      return problem(412, "If-Match names another ICE session");
    }
    await session.addCandidates(fragment);
    return reply(204);
  }

  async #denied(request: WhipRequest): Promise<WhipResponse | undefined> {
    if (this.#options.authorize === undefined) return undefined;
    // RFC 6750 §2.1; the scheme's name is case-insensitive (RFC 9110 §11.1).
    const token = /^bearer +([\w.~+/-]+=*)$/i.exec(header(request, "authorization") ?? "")?.[1];
    if (await this.#options.authorize(token)) return undefined;
    const challenge = token === undefined ? "Bearer" : 'Bearer error="invalid_token"';
    return problem(401, "a valid bearer token is needed", { "WWW-Authenticate": challenge });
  }

  #cors(request: WhipRequest): Record<string, string> {
    const origin = header(request, "origin");
    const allowed = this.#options.allowedOrigins ?? [];
    if (origin === undefined || !(allowed.includes("*") || allowed.includes(origin))) return {};
    return {
      "Access-Control-Allow-Origin": origin,
      "Access-Control-Allow-Methods": "POST, PATCH, DELETE",
      "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
      "Access-Control-Expose-Headers": "Location, ETag, Link, Retry-After",
      Vary: "Origin",
    };
  }
}

const STATUS: Readonly<Record<ErrorCode, number>> = {
  "invalid-argument": 400,
  protocol: 400,
  media: 400,
  policy: 403,
  "not-found": 404,
  conflict: 409,
  overloaded: 503,
  unavailable: 503,
  closed: 503,
  timeout: 504,
  internal: 500,
};

function reply(status: number, headers: Record<string, string> = {}, body = ""): WhipResponse {
  return { status, headers, body };
}

/** RFC 9457. */
function problem(status: number, detail: string, headers: Record<string, string> = {}): WhipResponse {
  const body = JSON.stringify({ title: STATUS_CODES[status], status, detail });
  return reply(status, { "Content-Type": "application/problem+json", ...headers }, body);
}

function problemOf(error: unknown): WhipResponse {
  // A defect's text is for our logs, not for the network.
  if (!(error instanceof TonetapError) || error.code === "internal") return problem(500, "internal error");
  const status = STATUS[error.code];
  return problem(status, error.message, status === 503 ? { "Retry-After": String(RETRY_AFTER_S) } : {});
}

function header(request: WhipRequest, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === "object" ? value.join(", ") : value;
}

function wrongBody(
  request: WhipRequest,
  type: string,
  accept: Record<string, string>,
): WhipResponse | undefined {
  const got = header(request, "content-type")?.split(";")[0]?.trim().toLowerCase();
  if (got !== type) return problem(415, `Content-Type must be ${type}`, accept);
  if (Buffer.byteLength(request.body) > WHIP_MAX_BODY_BYTES) {
    return problem(413, `the body may have ${WHIP_MAX_BODY_BYTES} bytes`);
  }
  return undefined;
}

const bodyText = (request: WhipRequest): string =>
  typeof request.body === "string" ? request.body : new TextDecoder().decode(request.body);

/** RFC 9725 §4.6. */
function linkOf(server: IceServer): string {
  const secret =
    server.username === undefined || server.credential === undefined
      ? ""
      : `; username=${JSON.stringify(server.username)}; credential=${JSON.stringify(server.credential)}; credential-type="password"`;
  return `<${server.urls}>; rel="ice-server"${secret}`;
}
