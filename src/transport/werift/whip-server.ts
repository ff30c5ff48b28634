/**
 * WHIP (RFC 9725) without an HTTP server: a function from request to response. Whoever owns the socket reads the body,
 * calls handle() and writes what comes back. Negotiation is whip-offer.ts, a publisher's connection whip-peer.ts.
 */
import { randomUUID } from "node:crypto";
import type { AudioSource, ParticipantInfo } from "../../core/audio-source.ts";
import type { Admit } from "../../core/caller.ts";
import { type Clock, systemClock } from "../../core/clock.ts";
import { assertRange, TonetapError } from "../../core/errors.ts";
import { type Closable, ClosesOnce } from "../../core/lifecycle.ts";
import { LINE_CONSENTS, type LineConsent } from "../../core/line-signal.ts";
import { problemOf } from "../../core/problem.ts";
import { assertIceUrl, type IceServer, linkHeader } from "./ice-servers.ts";
import { participantFromQuery } from "./participant-query.ts";
import { openWhipHere } from "./whip-here.ts";
import {
  bearerOf,
  bodyText,
  denied,
  header,
  refusal,
  reply,
  type WhipRequest,
  type WhipResponse,
  wrongBody,
} from "./whip-message.ts";
import { parseIceFragment, parseWhipOffer, type WhipOffer } from "./whip-offer.ts";
import type { IceGathering, OpenWhipPeer, WhipPeer, WhipPeerOptions } from "./whip-peer.ts";

/** Names our extension in Link header fields: `PUT` there `{"consent": "withdrawn"}`. */
export const WHIP_CONSENT_RELATION = "urn:tonetap:whip:ext:consent";
const CONSENT_SUFFIX = "/consent";
const CONSENT_TYPE = "application/json";

const OFFER_TYPE = "application/sdp";
const FRAGMENT_TYPE = "application/trickle-ice-sdpfrag";

export interface WhipSessionInfo {
  /** Last segment of the session's URL. Keep it secret: who knows it can end the session. */
  readonly id: string;
  readonly participant: ParticipantInfo;
}

/** How both sides find their ways to each other. */
export interface IceOptions extends IceGathering {
  /**
   * Sent to publishers in Link headers; a function is asked for each of them, see iceServers(). The first STUN server
   * is also asked here for this machine's public address. Default none: a server with an address of its own needs none.
   */
  readonly iceServers?: readonly IceServer[] | (() => readonly IceServer[]);
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
  /**
   * Where publishers' connections are. `engine.media.openWhip`: in the engine's shards, where it has any; their sources can
   * be given to `engine.attach()` only. Default: on this thread.
   */
  readonly openPeer?: OpenWhipPeer;
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
  readonly #openPeer: OpenWhipPeer;
  readonly #onError: (error: TonetapError) => void;
  readonly #sessions = new Map<string, WhipPeer>();
  /** Sessions being opened: they count against the limit. */
  readonly #opening = new Set<Promise<unknown>>();

  constructor(options: WhipEndpointOptions) {
    super();
    this.#options = options;
    this.#path = options.path ?? "/whip";
    this.#inactivityMs = options.inactivityMs ?? 10_000;
    this.#maxSessions = options.maxSessions ?? 200;
    const { clock = systemClock } = options;
    this.#openPeer = options.openPeer ?? openWhipHere(clock);
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
    session.tell({ kind: "consent", consent: said, by: "WHIP", nature: "act" });
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
    let hasEnded = false;
    const peer = await this.#openPeer(this.#peerOptions(id, offer, servers), () => {
      hasEnded = true;
      this.#sessions.delete(id);
    });
    try {
      await this.#options.onSession(peer.source, { id, participant });
    } catch (error) {
      await peer.close();
      throw error;
    }
    if (hasEnded) throw new TonetapError("unavailable", "the session ended before it began");
    this.#sessions.set(id, peer);
    // RFC 9725, "Protocol Extensions": told by a link whose relation is its name.
    const consent = `<${this.#path}/${id}${CONSENT_SUFFIX}>; rel="${WHIP_CONSENT_RELATION}"`;
    const link = [linkHeader(servers), consent].filter((part) => part !== "").join(", ");
    return reply(
      201,
      {
        "content-type": OFFER_TYPE,
        location: `${this.#path}/${id}`,
        etag: peer.answer.etag,
        link,
      },
      peer.answer.sdp,
    );
  }

  #peerOptions(id: string, offer: WhipOffer, servers: readonly IceServer[]): WhipPeerOptions {
    const { ownSrtp, maxPacketsPerSecond } = this.#options;
    const { iceRelay, iceAdditionalHostAddresses, iceUseIpv4, iceUseIpv6, portRange } = this.#options;
    return {
      id,
      offer,
      servers,
      gathering: { iceRelay, iceAdditionalHostAddresses, iceUseIpv4, iceUseIpv6, portRange },
      inactivityMs: this.#inactivityMs,
      ownSrtp,
      maxPacketsPerSecond,
    };
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
  async #patch(request: WhipRequest, peer: WhipPeer): Promise<WhipResponse> {
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
    const tags = match === "*" ? undefined : match.split(",").map((tag) => tag.trim());
    const patched = await peer.patch({ fragment, tags });
    switch (patched.kind) {
      case "mismatch":
        return refusal(412, "conflict", "If-Match names another ICE session");
      case "trickled":
        return reply(204);
      case "restarted":
        return reply(200, { "content-type": FRAGMENT_TYPE, etag: patched.etag }, patched.fragment);
      default:
        return patched satisfies never;
    }
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
