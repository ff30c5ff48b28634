/**
 * Says who a token belongs to, whatever kind it is: the one place that REST, event subscribers, WHIP and media ask.
 * What a caller may is grant.ts; where it is asked is the doors' own.
 */
import { readFile, stat } from "node:fs/promises";
import type { IncomingHttpHeaders } from "node:http";
import { type Admit, ANYONE, type Caller } from "../core/caller.ts";
import type { Clock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import type { Closable } from "../core/lifecycle.ts";
import { RateLimit } from "../core/rate-limit.ts";
import { localCallId, qualifiedCallId } from "../core/tenant.ts";
import { ApiKeys } from "./api-keys.ts";
import { type JwtKeys, JwtVerifier } from "./jwt.ts";

/** ms between looks whether the file of keys has changed. */
const RELOAD_MS = 2_000;
/** Callers whose rate is kept at most; beyond it the one that asked longest ago is forgotten. */
const MAX_RATES = 10_000;

export interface AuthorityOptions {
  readonly keysFile: string;
  readonly jwtSecret: string;
  readonly jwksFile: string;
  readonly jwksUrl: string;
  readonly jwtIssuer: string;
  readonly jwtAudience: string;
  readonly maxRequestsPerSecond: number;
  readonly clock: Clock;
  /** Told when the file of keys was changed to something that cannot be read; the keys of before stay good. */
  readonly onError?: (error: TonetapError) => void;
}

export class Authority implements Closable, AsyncDisposable {
  readonly #options: AuthorityOptions;
  readonly #keys: ApiKeys | undefined;
  readonly #tokens: JwtVerifier | undefined;
  readonly #rates = new Map<string, RateLimit>();
  readonly #stopWatching: () => void;
  #version: string;
  #reloading: Promise<void> = Promise.resolve();

  private constructor(
    options: AuthorityOptions,
    keys: { readonly list: ApiKeys; readonly version: string } | undefined,
    tokens: JwtVerifier | undefined,
  ) {
    this.#options = options;
    this.#keys = keys?.list;
    this.#version = keys?.version ?? "";
    this.#tokens = tokens;
    this.#stopWatching =
      keys === undefined
        ? () => undefined
        : options.clock.repeat(RELOAD_MS, () => {
            this.#reloading = this.#reload();
          });
  }

  /** @throws TonetapError invalid-argument for a file or an option that is wrong */
  static async open(options: AuthorityOptions): Promise<Authority> {
    const keys =
      options.keysFile === ""
        ? undefined
        : {
            version: await versionOf(options.keysFile),
            list: new ApiKeys(await readText("auth.keysFile", options.keysFile), options.clock),
          };
    return new Authority(options, keys, await openVerifier(options));
  }

  /** Nobody has to show anything: neither keys nor tokens are configured. */
  get isOpen(): boolean {
    return this.#keys === undefined && this.#tokens === undefined;
  }

  /** Who sends a request. @throws TonetapError as {@link identify} */
  identifyRequest(headers: IncomingHttpHeaders): Promise<Caller> {
    return this.identify(tokenOf(headers));
  }

  /**
   * Whose token this is.
   * @throws TonetapError unauthenticated, overloaded when that caller asks too often, unavailable when nobody can say now
   */
  async identify(token: string | undefined): Promise<Caller> {
    if (this.isOpen) return ANYONE;
    if (token === undefined)
      throw new TonetapError("unauthenticated", "a key or a token is needed: Authorization: Bearer …");
    const caller = await this.#callerOf(token);
    const asked = `${caller.tenant ?? ""}~${caller.name}`;
    if (this.#rateOf(asked).take()) return caller;
    throw new TonetapError(
      "overloaded",
      `${caller.name} may ask ${this.#options.maxRequestsPerSecond} times a second`,
      { tooOften: true },
    );
  }

  /**
   * Lets a token bring participants.
   * @throws TonetapError as {@link identify}, policy for a token without that right
   */
  async admit(token: string | undefined): Promise<Admit> {
    const caller = await this.identify(token);
    if (!caller.may("calls:write"))
      throw new TonetapError("policy", `${caller.name} may not bring participants`);
    return (participant) => admitted(caller, participant);
  }

  async close(): Promise<void> {
    this.#stopWatching();
    await this.#reloading;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #callerOf(token: string): Promise<Caller> {
    if (this.#keys !== undefined && ApiKeys.looksLikeKey(token)) {
      const grant = this.#keys.find(token);
      if (grant === undefined) throw new TonetapError("unauthenticated", "the key is not valid here");
      return grant;
    }
    if (this.#tokens === undefined) throw new TonetapError("unauthenticated", "the key is not valid here");
    return this.#tokens.verify(token);
  }

  #rateOf(name: string): RateLimit {
    const rate =
      this.#rates.get(name) ?? new RateLimit(this.#options.clock, this.#options.maxRequestsPerSecond);
    // Last in the order of the map: what stands first has not asked for longest.
    this.#rates.delete(name);
    this.#rates.set(name, rate);
    const [oldest] = this.#rates.keys();
    if (this.#rates.size > MAX_RATES && oldest !== undefined) this.#rates.delete(oldest);
    return rate;
  }

  async #reload(): Promise<void> {
    const { keysFile, onError } = this.#options;
    try {
      const version = await versionOf(keysFile);
      if (version === this.#version) return;
      // Also when it is wrong: it is complained about once.
      this.#version = version;
      this.#keys?.replace(await readText("auth.keysFile", keysFile));
    } catch (error) {
      onError?.(TonetapError.from(error, "unavailable", "the keys of before stay good"));
    }
  }
}

/**
 * Who a caller's participant is in the service: in the tenant of the caller, if it has one, and as its token says.
 * @throws TonetapError policy
 */
export function admitted(caller: Caller, participant: Parameters<Admit>[0]): ReturnType<Admit> {
  const tenant = caller.tenant ?? participant.tenant;
  if (participant.tenant !== undefined && participant.tenant !== tenant) {
    throw new TonetapError("policy", `${caller.name} may not bring participants of another tenant`);
  }
  const callId = qualifiedCallId(participant.callId, tenant);
  if (!caller.may("calls:write", callId)) {
    throw new TonetapError(
      "policy",
      `${caller.name} may not bring participants to call ${localCallId(callId)}`,
    );
  }
  const { consent, ...vouched } = caller.vouches ?? {};
  // Of consent the less counts: nobody is made to agree, and nobody says that somebody has.
  const agreed = consent === undefined || consent === "granted" ? (participant.consent ?? consent) : consent;
  return {
    ...participant,
    ...vouched,
    ...(agreed === undefined ? {} : { consent: agreed }),
    callId,
    ...(tenant === undefined ? {} : { tenant }),
  };
}

/**
 * The bearer token of a request (RFC 6750 §2.1), or the one that a browser's WebSocket, which can send no header of its
 * own, gives as a subprotocol: `bearer.<token>`. Never of a query: those stand in logs.
 */
export function tokenOf({
  authorization = "",
  "sec-websocket-protocol": protocols = "",
}: IncomingHttpHeaders): string | undefined {
  const bearer = /^bearer +([\w.~+/-]+=*)$/i.exec(authorization)?.[1];
  if (bearer !== undefined) return bearer;
  const offered = protocols.split(",").map((name) => name.trim());
  return offered.find((name) => name.startsWith("bearer."))?.slice("bearer.".length);
}

async function openVerifier(options: AuthorityOptions): Promise<JwtVerifier | undefined> {
  const { jwtSecret, jwksFile, jwksUrl, jwtIssuer, jwtAudience, clock } = options;
  const given: JwtKeys[] = [
    ...(jwtSecret === "" ? [] : [{ secret: jwtSecret }]),
    ...(jwksFile === "" ? [] : [{ jwks: readJson(await readText("auth.jwksFile", jwksFile)) }]),
    ...(jwksUrl === "" ? [] : [{ jwksUrl }]),
  ];
  const [keys, another] = given;
  if (keys === undefined) return undefined;
  if (another !== undefined) {
    throw new TonetapError(
      "invalid-argument",
      "auth.jwtSecret, auth.jwksFile and auth.jwksUrl exclude each other",
    );
  }
  return new JwtVerifier({ keys, issuer: jwtIssuer, audience: jwtAudience, clock });
}

const readJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new TonetapError("invalid-argument", "auth.jwksFile is no JSON", { cause: error });
  }
};

async function versionOf(path: string): Promise<string> {
  const { mtimeMs, size, ino } = await stat(path).catch((error: unknown) => {
    throw new TonetapError(
      "invalid-argument",
      `auth.keysFile must be a readable file, got ${JSON.stringify(path)}`,
      { cause: error },
    );
  });
  return `${mtimeMs} ${size} ${ino}`;
}

async function readText(option: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new TonetapError(
      "invalid-argument",
      `${option} must be a readable file, got ${JSON.stringify(path)}`,
      { cause: error },
    );
  }
}
