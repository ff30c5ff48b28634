/**
 * Who may use the service, off the configuration, as each of its doors wants to be told. What keys and tokens are worth
 * is access/.
 */
import { isIPv4 } from "node:net";
import { Authority } from "./access/index.ts";
import type { Config } from "./config.ts";
import type { Caller } from "./core/caller.ts";
import type { Clock } from "./core/clock.ts";
import { TonetapError } from "./core/errors.ts";
import type { Authorize, TonetapEvent } from "./events/index.ts";
import type { MediaSocketOptions } from "./transport/websocket-media/index.ts";
import { acceptTokens } from "./transport/werift/bearer-tokens.ts";
import type { WhipEndpointOptions } from "./transport/werift/whip-server.ts";

/** Whether an address to listen on is reached from this machine only. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));

/**
 * @throws TonetapError invalid-argument for a file or an option that is wrong; policy for a service that others could
 * reach and that would ask nobody who they are
 */
export async function openAuthority(
  { auth, service }: Config,
  clock: Clock,
  onError: (error: TonetapError) => void,
): Promise<Authority> {
  const { anonymous, ...options } = auth;
  const authority = await Authority.open({ ...options, clock, onError });
  if (!authority.isOpen || isLoopback(service.host) || anonymous === "anyone") return authority;
  await authority.close();
  throw new TonetapError(
    "policy",
    `service.host ${service.host} is reached from other machines, and nobody would have to say who they are: give ` +
      "auth.keysFile, auth.jwksFile, auth.jwksUrl or auth.jwtSecret (docs/security.md), or say auth.anonymous anyone",
  );
}

/** Who may publish over WHIP: the list `whip.tokens`, and whoever else may bring participants. */
export function whipAuthorization(
  { whip: { tokens } }: Config,
  authority: Authority,
): Pick<WhipEndpointOptions, "authorize"> {
  const listed = tokens.length === 0 ? undefined : acceptTokens(tokens);
  if (authority.isOpen) return listed === undefined ? {} : { authorize: listed };
  return { authorize: (token) => listed?.(token) === true || authority.admit(token) };
}

/** The same for media over WebSocket. AudioHook's requests are signed where it has keys: that is enough. */
export function mediaAuthorization(
  { media: { tokens, audiohookKeys } }: Config,
  authority: Authority,
): MediaSocketOptions["authorize"] {
  const listed = tokens.length === 0 ? undefined : acceptTokens(tokens);
  if (authority.isOpen) return listed;
  return (token, dialect) =>
    listed?.(token) === true ||
    (dialect === "audiohook" && audiohookKeys.length > 0) ||
    authority.admit(token);
}

/** Who may subscribe to events, and to whose. */
export function eventsAuthorization(authority: Authority): Authorize {
  return async ({ headers }) => {
    const caller = await authority.identifyRequest(headers);
    if (!caller.may("events:read")) throw new TonetapError("policy", `${caller.name} may not read events`);
    return authority.isOpen ? {} : { sees: eventsSeenBy(caller) };
  };
}

/** What of all events a caller may see: those of its calls; those of no call only whoever sees how all is doing. */
function eventsSeenBy(caller: Caller): (event: TonetapEvent) => boolean {
  return ({ data }) =>
    "callId" in data ? caller.may("events:read", data.callId) : caller.may("metrics:read");
}
