/** Bearer tokens of an identity provider (RFC 7519, RFC 9068): signature, issuer, audience, time. The only place that knows jose. */
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from "jose";
import { z } from "zod";
import { CONSENT_STATES, PARTICIPANT_ROLES } from "../core/audio-source.ts";
import type { VouchedParticipant } from "../core/caller.ts";
import type { Clock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import { assertTenant } from "../core/tenant.ts";
import { Grant, parseScope, type Scope } from "./grant.ts";

/** s that clocks may differ. */
const CLOCK_TOLERANCE_S = 5;
/** RFC 7518 §3.2: a key of HS256 has 256 bits at least. */
const MIN_SECRET_BYTES = 32;
/** Public keys only: a token signed with HMAC by a public key as if it were a secret must not pass. RFC 8725 §3.1. */
const SIGNATURES = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];
const HMACS = ["HS256", "HS384", "HS512"];

const printable = z.string().regex(/^\P{C}{1,128}$/u, "must be 1–128 printable characters");
/** The claim of ours that says who its holder is in a call. */
const participantClaim = z.strictObject({
  participant: printable.optional(),
  role: z.enum(PARTICIPANT_ROLES).optional(),
  consent: z.enum(CONSENT_STATES).optional(),
  name: printable.optional(),
});

export type JwtKeys = { readonly secret: string } | { readonly jwks: unknown } | { readonly jwksUrl: string };

export interface JwtOptions {
  readonly keys: JwtKeys;
  /** `iss` must be this, unless it is empty. */
  readonly issuer: string;
  /** One of `aud` must be this. RFC 9068 §4. */
  readonly audience: string;
  readonly clock: Clock;
}

export class JwtVerifier {
  readonly #options: JwtOptions;
  readonly #key: Uint8Array | JWTVerifyGetKey;
  readonly #algorithms: string[];

  /** @throws TonetapError invalid-argument for a secret too short, a JWKS that is none, a URL that is none */
  constructor(options: JwtOptions) {
    this.#options = options;
    this.#key = keyOf(options.keys);
    this.#algorithms = this.#key instanceof Uint8Array ? HMACS : SIGNATURES;
  }

  /**
   * The rights that a token gives: `scope` (space-separated, others' scopes ignored), in the tenant that `tenant` names; and
   * whom its holder may bring, if `tonetap` says so.
   * @throws TonetapError unauthenticated, saying what is wrong with it; unavailable when the JWKS cannot be had
   */
  async verify(token: string): Promise<Grant> {
    const { issuer, audience, clock } = this.#options;
    const options = {
      algorithms: this.#algorithms,
      audience,
      ...(issuer === "" ? {} : { issuer }),
      requiredClaims: ["exp", "sub"],
      clockTolerance: CLOCK_TOLERANCE_S,
      currentDate: new Date(clock.wall()),
    };
    try {
      const { payload } =
        this.#key instanceof Uint8Array
          ? await jwtVerify(token, this.#key, options)
          : await jwtVerify(token, this.#key, options);
      return this.#grantOf(payload);
    } catch (error) {
      throw refusal(error);
    }
  }

  #grantOf({ sub = "", exp = 0, scope, tenant, tonetap }: JWTPayload): Grant {
    if (tenant !== undefined) {
      if (typeof tenant !== "string")
        throw new TonetapError("unauthenticated", "the token's tenant is no text");
      assertTenant(tenant);
    }
    const { clock } = this.#options;
    return new Grant({
      name: `token ${sub.replaceAll(/\p{C}/gu, "").slice(0, 128)}`,
      tenant,
      scopes: typeof scope === "string" ? scopesOf(scope) : [],
      vouches: tonetap === undefined ? undefined : vouchedFor(tonetap),
      isValid: () => clock.wall() < (exp + CLOCK_TOLERANCE_S) * 1000,
    });
  }
}

/** A provider gives scopes of other services along: they are none of ours. */
function scopesOf(text: string): Scope[] {
  return text.split(" ").flatMap((word) => {
    try {
      return [parseScope(word)];
    } catch {
      return [];
    }
  });
}

/** @throws TonetapError unauthenticated: a token that is half understood would let in somebody else */
function vouchedFor(claim: unknown): VouchedParticipant {
  const { success, data, error } = participantClaim.safeParse(claim);
  if (!success) {
    const [issue] = error.issues;
    const what = `${["tonetap", ...(issue?.path ?? [])].join(".")}: ${issue?.message}`;
    throw new TonetapError("unauthenticated", `the token's ${what}`);
  }
  const { participant, role, consent, name } = data;
  return {
    ...(participant === undefined ? {} : { participantId: participant }),
    ...(role === undefined ? {} : { role }),
    ...(consent === undefined ? {} : { consent }),
    ...(name === undefined ? {} : { displayName: name }),
  };
}

function keyOf(keys: JwtKeys): Uint8Array | JWTVerifyGetKey {
  if ("secret" in keys) {
    const secret = new TextEncoder().encode(keys.secret);
    if (secret.length >= MIN_SECRET_BYTES) return secret;
    throw new TonetapError(
      "invalid-argument",
      `auth.jwtSecret must have at least ${MIN_SECRET_BYTES} bytes, it has ${secret.length}`,
    );
  }
  if ("jwks" in keys) {
    try {
      return createLocalJWKSet(keys.jwks as JSONWebKeySet);
    } catch (error) {
      throw new TonetapError("invalid-argument", "auth.jwksFile must be a JSON Web Key Set (RFC 7517)", {
        cause: error,
      });
    }
  }
  const url = URL.parse(keys.jwksUrl);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new TonetapError(
      "invalid-argument",
      `auth.jwksUrl must be an http(s) address, got ${JSON.stringify(keys.jwksUrl)}`,
    );
  }
  return createRemoteJWKSet(url, { timeoutDuration: 3_000, cooldownDuration: 10_000, cacheMaxAge: 600_000 });
}

/** What is wrong with a token its sender may know; what is wrong with our key set is for us. */
function refusal(error: unknown): TonetapError {
  if (error instanceof TonetapError) {
    return error.code === "invalid-argument"
      ? new TonetapError("unauthenticated", `the token: ${error.message}`)
      : error;
  }
  if (error instanceof errors.JWTExpired) return new TonetapError("unauthenticated", "the token has expired");
  if (error instanceof errors.JWTClaimValidationFailed) {
    return new TonetapError("unauthenticated", `the token's ${error.claim} is not right here`);
  }
  const isTokensFault =
    error instanceof errors.JWTInvalid ||
    error instanceof errors.JWSInvalid ||
    error instanceof errors.JWSSignatureVerificationFailed ||
    error instanceof errors.JOSEAlgNotAllowed ||
    error instanceof errors.JOSENotSupported ||
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys;
  if (isTokensFault)
    return new TonetapError("unauthenticated", "the token is not valid here", { cause: error });
  return new TonetapError("unavailable", "the keys that tokens are checked with cannot be had now", {
    cause: error,
  });
}
