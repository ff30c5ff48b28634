/** STUN and TURN servers: checking their URLs, giving publishers what they need to use them. Gathering is werift's. */
import { createHmac } from "node:crypto";
import { type Clock, systemClock } from "../../core/clock.ts";
import { assertRange, TonetapError } from "../../core/errors.ts";

/** A STUN or TURN server, as browsers write it. */
export interface IceServer {
  /** `stun:host:port`, `turn:host:port?transport=udp`, `turns:…` */
  readonly urls: string;
  readonly username?: string;
  readonly credential?: string;
}

/** How TURN servers know their users. */
export type TurnAccess =
  /** One account for everyone. */
  | { readonly username: string; readonly credential: string }
  /** coturn's `static-auth-secret`: each publisher gets credentials of its own, valid for `ttlS` seconds. */
  | { readonly secret: string; readonly ttlS?: number };

/**
 * Servers for {@link IceOptions.iceServers} from plain URLs. With a secret, every publisher gets credentials that
 * expire: draft-uberti-behave-turn-rest-00, which coturn, eturnal and the TURN services speak.
 * @param access for TURN URLs; `ttlS` 60–604,800, default 86,400. A relay is refreshed with the same credentials, so
 * they must outlive the call.
 * @throws TonetapError invalid-argument naming the URL or the option that is wrong.
 */
export function iceServers(
  urls: readonly string[],
  access?: TurnAccess,
  clock: Clock = systemClock,
): () => IceServer[] {
  for (const url of urls) {
    assertIceUrl(url);
    if (isTurn(url) && access === undefined) {
      throw new TonetapError("invalid-argument", `${url} needs a TURN username and credential, or a secret`);
    }
  }
  if (access === undefined || !("secret" in access)) return () => urls.map((url) => withAccount(url, access));
  const { secret, ttlS = 86_400 } = access;
  assertRange("TURN ttlS", ttlS, 60, 604_800, "s");
  if (secret === "") throw new TonetapError("invalid-argument", "the TURN secret is empty");
  return () => {
    const account = expiring(secret, ttlS, clock);
    return urls.map((url) => withAccount(url, account));
  };
}

const withAccount = (
  url: string,
  account: { username: string; credential: string } | undefined,
): IceServer => (isTurn(url) ? { urls: url, ...account } : { urls: url });

function expiring(secret: string, ttlS: number, clock: Clock): { username: string; credential: string } {
  const username = String(Math.floor(clock.wall() / 1000) + ttlS);
  return { username, credential: createHmac("sha1", secret).update(username).digest("base64") };
}

export const isTurn = (url: string): boolean => /^turns?:/i.test(url);
export const isStun = (url: string): boolean => /^stun:/i.test(url);

/** RFC 7064 and 7065. @throws TonetapError invalid-argument */
export function assertIceUrl(url: string): void {
  if (/^(stun|turn)s?:(\[[\da-f:]+\]|[\w.-]+)(:\d{1,5})?(\?transport=(udp|tcp))?$/i.test(url)) return;
  throw new TonetapError(
    "invalid-argument",
    `an ICE server must be like stun:host:3478 or turn:host:3478?transport=udp, got ${JSON.stringify(url)}`,
  );
}

/** One `Link` header value for all of them. RFC 9725 §4.6. */
export function linkHeader(servers: readonly IceServer[]): string {
  return servers
    .map(({ urls, username, credential }) =>
      username === undefined || credential === undefined
        ? `<${urls}>; rel="ice-server"`
        : `<${urls}>; rel="ice-server"; username=${quoted(username)}; credential=${quoted(credential)}; credential-type="password"`,
    )
    .join(", ");
}

/** RFC 9110 §5.6.4. */
const quoted = (text: string): string => `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
