/**
 * WHIP (RFC 9725) without an HTTP server: a function from request to response. Whoever owns the socket reads the body,
 * calls handle() and writes what comes back. Negotiation is whip-offer.ts, a publisher's connection whip-session.ts.
 */
import { randomUUID } from "node:crypto";
import type { AudioSource, ParticipantInfo } from "../../core/audio-source.ts";
import type { Admit } from "../../core/caller.ts";
import { type Clock, systemClock } from "../../core/clock.ts";
import { assertRange, type ErrorCode, TonetapError } from "../../core/errors.ts";
import { type Closable, ClosesOnce } from "../../core/lifecycle.ts";
import { LINE_CONSENTS, type LineConsent } from "../../core/line-signal.ts";
import { problemOf } from "../../core/problem.ts";
import { assertIceUrl, type IceServer, linkHeader } from "./ice-servers.ts";
import { participantFromQuery } from "./participant-query.ts";
import { writeRestartFragment } from "./whip-answer.ts";
import { parseIceFragment, parseWhipOffer } from "./whip-offer.ts";
import { type IceOptions, WhipSession } from "./whip-session.ts";

/** Bytes of a request body at most. HTTP servers should stop reading there and call handle() with what they have. */
export const WHIP_MAX_BODY_BYTES = 64 * 1024;

/** Names our extension in Link header fields: `PUT` there `{"consent": "withdrawn"}`. */
export const WHIP_CONSENT_RELATION = "urn:tonetap:whip:ext:consent";
const CONSENT_SUFFIX = "/consent";
const CONSENT_TYPE = "application/json";

const OFFER_TYPE = "application/sdp";
const FRAGMENT_TYPE = "application/trickle-ice-sdpfrag";

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
  /**
   * Says whether a bearer token may publish, trickle, restart or end; undefined when none came. A function instead of
   * true says who its participant is in the service. A thrown TonetapError refuses with its own status. Default:
   * everyone may. For a list of tokens: `acceptTokens(list)`.
   */
  readonly authorize?: (
    token: string | undefined,
    request: WhipRequest,
  ) => boolean | Admit | Promise<boolean | Admit>;
  /** Path of the endpoint; sessions are one segment below. Default `/whip`. */
  readonly path?: string;
  /** Origins of pages that may publish, besides pages of the endpoint's own; `*` means any. Default none. */
  readonly allowedOrigins?: readonly string[];
  /** ms without a packet after which a publisher has left. 1,000–600,000; default 10,000: browsers send RTCP every 5 s. */
  readonly inactivityMs?: number;
  /** Publishers at once; one more gets 503. 1–10,000; default 200. */
  readonly maxSessions?: number;
  /** Told of defects, which publishers see as a 500 without details. Default: a process warning. */
  readonly onError?: (error: TonetapError) => void;
  /** Packets a second of one publisher at most; those beyond are dropped and counted. 50–100,000, default 1,000. */
  readonly maxPacketsPerSecond?: number;
  /** Default true: Tonetap's own SRTP instead of werift's, which takes four times as long. */
  readonly ownSrtp?: boolean;
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

class Endpoint extends ClosesOnce implements WhipEndpoint {
  readonly #options: WhipEndpointOptions;
  readonly #path: string;
  readonly #inactivityMs: number;
  readonly #maxSessions: number;
  readonly #clock: Clock;
  readonly #onError: (error: TonetapError) => void;
  readonly #sessions = new Map<string, WhipSession>();
  /** Sessions being opened: they count against the limit. */
  readonly #opening = new Set<Promise<unknown>>();

  constructor(options: WhipEndpointOptions) {
    super();
    this.#options = options;
    this.#path = options.path ?? "/whip";
    this.#inactivityMs = options.inactivityMs ?? 10_000;
    this.#maxSessions = options.maxSessions ?? 200;
    this.#clock = options.clock ?? systemClock;
    this.#onError = options.onError ?? ((error) => process.emitWarning(error));
    assertRange("whip inactivityMs", this.#inactivityMs, 1_000, 600_000, "ms");
    if (options.maxPacketsPerSecond !== undefined)
      assertRange("whip maxPacketsPerSecond", options.maxPacketsPerSecond, 50, 100_000);
    assertRange("whip maxSessions", this.#maxSessions, 1, 10_000);
    if (typeof options.iceServers === "object") for (const { urls } of options.iceServers) assertIceUrl(urls);
  }

  get sessionCount(): number {
    return this.#sessions.size + this.#opening.size;
  }

  async handle(request: WhipRequest): Promise<WhipResponse> {
    let response: WhipResponse;
    try {
      response = await this.#route(request);
    } catch (thrown) {
      const error = TonetapError.from(thrown);
      if (error.code === "internal") this.#onError(error);
      response = problemOf(error);
    }
    return { ...response, headers: { ...response.headers, ...this.#cors(request) } };
  }

  protected async release(): Promise<void> {
    await Promise.allSettled(this.#opening);
    await Promise.all([...this.#sessions.values()].map((session) => session.close()));
  }

  async #route(request: WhipRequest): Promise<WhipResponse> {
    const { method, path } = request;
    if (path === this.#path || path === `${this.#path}/`) {
      if (method === "OPTIONS") return reply(200, { allow: "OPTIONS, POST", "accept-post": OFFER_TYPE });
      if (method !== "POST")
        return refusal(405, "invalid-argument", `${method} is not for a WHIP endpoint`, {
          allow: "OPTIONS, POST",
        });
      const admit = await this.#permission(request);
      return admit === undefined ? denied(request) : this.#publish(request, admit);
    }
    if (!path.startsWith(`${this.#path}/`)) return refusal(404, "not-found", "no WHIP resource here");
    if (path.endsWith(CONSENT_SUFFIX)) return this.#consent(request);
    const allow = { allow: "OPTIONS, PATCH, DELETE" };
    if (method === "OPTIONS") return reply(200, { ...allow, "accept-patch": FRAGMENT_TYPE });
    if (method !== "PATCH" && method !== "DELETE") {
      return refusal(405, "invalid-argument", `${method} is not for a WHIP session`, allow);
    }
    if ((await this.#permission(request)) === undefined) return denied(request);
    const session = this.#sessions.get(path.slice(this.#path.length + 1));
    if (session === undefined)
      return refusal(404, "not-found", "no such session: it has ended, or never was");
    if (method === "PATCH") return this.#patch(request, session);
    await session.close();
    return reply(200);
  }

  /** Our extension (RFC 9725, "Protocol Extensions"): the publisher says what it thinks of being analysed. */
  async #consent(request: WhipRequest): Promise<WhipResponse> {
    const { method, path } = request;
    const allow = { allow: "OPTIONS, PUT" };
    if (method === "OPTIONS") return reply(200, allow);
    if (method !== "PUT") return refusal(405, "invalid-argument", `${method} is not for consent`, allow);
    if ((await this.#permission(request)) === undefined) return denied(request);
    const id = path.slice(this.#path.length + 1, -CONSENT_SUFFIX.length);
    const session = this.#sessions.get(id);
    if (session === undefined)
      return refusal(404, "not-found", "no such session: it has ended, or never was");
    const wrong = wrongBody(request, CONSENT_TYPE, {});
    if (wrong !== undefined) return wrong;
    const said = consentIn(bodyText(request));
    if (said === undefined) {
      return refusal(
        400,
        "invalid-argument",
        'the body must be {"consent": "granted"} or {"consent": "withdrawn"}',
      );
    }
    session.source.line.tell({ kind: "consent", consent: said, by: "WHIP", nature: "act" });
    return reply(204);
  }

  async #publish(request: WhipRequest, admit: Admit): Promise<WhipResponse> {
    const wrong = wrongBody(request, OFFER_TYPE, { "accept-post": OFFER_TYPE });
    if (wrong !== undefined) return wrong;
    if (this.closing) throw new TonetapError("overloaded", "the endpoint is closing");
    if (this.sessionCount >= this.#maxSessions) {
      throw new TonetapError("overloaded", `all ${this.#maxSessions} sessions are taken`);
    }
    const opening = this.#open(request, admit);
    this.#opening.add(opening);
    try {
      return await opening;
    } finally {
      this.#opening.delete(opening);
    }
  }

  async #open(request: WhipRequest, admit: Admit): Promise<WhipResponse> {
    const id = randomUUID();
    const participant = admit(participantFromQuery(request.query, id));
    const offer = parseWhipOffer(bodyText(request));
    const servers = this.#iceServers();
    const session = await WhipSession.open({
      id,
      offer,
      ice: this.#options,
      servers,
      clock: this.#clock,
      inactivityMs: this.#inactivityMs,
      ownSrtp: this.#options.ownSrtp,
      maxPacketsPerSecond: this.#options.maxPacketsPerSecond,
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
    // RFC 9725, "Protocol Extensions": told by a link whose relation is its name.
    const consent = `<${this.#path}/${id}${CONSENT_SUFFIX}>; rel="${WHIP_CONSENT_RELATION}"`;
    const link = [linkHeader(servers), consent].filter((part) => part !== "").join(", ");
    return reply(
      201,
      {
        "content-type": OFFER_TYPE,
        location: `${this.#path}/${id}`,
        etag: session.ice.etag,
        link,
      },
      session.answerSdp,
    );
  }

  /** A function's servers are checked as they come: that one of them is wrong is no publisher's fault. */
  #iceServers(): readonly IceServer[] {
    const { iceServers = [] } = this.#options;
    if (typeof iceServers !== "function") return iceServers;
    try {
      const servers = iceServers();
      for (const { urls } of servers) assertIceUrl(urls);
      return servers;
    } catch (error) {
      throw new TonetapError("internal", "iceServers gave no ICE servers", { cause: error });
    }
  }

  /** RFC 9725 §4.3: candidates that come later (204), or new credentials for an ICE restart (200 with ours). */
  async #patch(request: WhipRequest, { ice, offer }: WhipSession): Promise<WhipResponse> {
    const wrong = wrongBody(request, FRAGMENT_TYPE, { "accept-patch": FRAGMENT_TYPE });
    if (wrong !== undefined) return wrong;
    const match = header(request, "if-match");
    if (match === undefined) {
      return refusal(
        428,
        "invalid-argument",
        "PATCH needs If-Match: the session's ETag, or * for an ICE restart",
      );
    }
    const fragment = parseIceFragment(bodyText(request));
    if (match !== "*" && !match.split(",").some((tag) => tag.trim() === ice.etag)) {
      return refusal(412, "conflict", "If-Match names another ICE session");
    }
    if (!ice.isRestart(fragment)) {
      await ice.addCandidates(fragment);
      return reply(204);
    }
    const { etag, ...local } = await ice.restart(fragment);
    return reply(200, { "content-type": FRAGMENT_TYPE, etag }, writeRestartFragment(offer, local));
  }

  /** Undefined for one who may not. */
  async #permission(request: WhipRequest): Promise<Admit | undefined> {
    const answer = (await this.#options.authorize?.(bearerOf(request), request)) ?? true;
    if (typeof answer === "function") return answer;
    return answer ? (participant) => participant : undefined;
  }

  #cors(request: WhipRequest): Record<string, string> {
    const origin = header(request, "origin");
    const allowed = this.#options.allowedOrigins ?? [];
    if (origin === undefined || !(allowed.includes("*") || allowed.includes(origin))) return {};
    return {
      "access-control-allow-origin": origin,
      "access-control-allow-methods": "POST, PATCH, PUT, DELETE",
      "access-control-allow-headers": "Authorization, Content-Type, If-Match",
      "access-control-expose-headers": "Location, ETag, Link, Retry-After",
      vary: "Origin",
    };
  }
}

function consentIn(text: string): LineConsent | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const consent =
      typeof value === "object" && value !== null && "consent" in value ? value.consent : undefined;
    return LINE_CONSENTS.find((candidate) => candidate === consent);
  } catch {
    return undefined;
  }
}

/** RFC 6750 §2.1; the scheme's name is case-insensitive (RFC 9110 §11.1). */
const bearerOf = (request: WhipRequest): string | undefined =>
  /^bearer +([\w.~+/-]+=*)$/i.exec(header(request, "authorization") ?? "")?.[1];

function denied(request: WhipRequest): WhipResponse {
  const challenge = bearerOf(request) === undefined ? "Bearer" : 'Bearer error="invalid_token"';
  return refusal(401, "unauthenticated", "a valid bearer token is needed", { "www-authenticate": challenge });
}

function reply(status: number, headers: Record<string, string> = {}, body = ""): WhipResponse {
  return { status, headers, body };
}

/** A refusal whose status HTTP knows more exactly than our codes. */
function refusal(
  status: number,
  code: ErrorCode,
  message: string,
  headers: Record<string, string> = {},
): WhipResponse {
  const problem = problemOf(new TonetapError(code, message), status);
  return { ...problem, headers: { ...problem.headers, ...headers } };
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
  if (got !== type) return refusal(415, "invalid-argument", `Content-Type must be ${type}`, accept);
  if (Buffer.byteLength(request.body) > WHIP_MAX_BODY_BYTES) {
    return refusal(413, "invalid-argument", `the body may have ${WHIP_MAX_BODY_BYTES} bytes`);
  }
  return undefined;
}

const bodyText = (request: WhipRequest): string =>
  typeof request.body === "string" ? request.body : new TextDecoder().decode(request.body);
