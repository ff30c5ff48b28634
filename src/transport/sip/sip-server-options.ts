/** The options of a SIP server: meaning, range and default of each, checked once. */
import { isIP } from "node:net";
import type { AudioSource, ParticipantInfo } from "../../core/audio-source.ts";
import { type Clock, systemClock } from "../../core/clock.ts";
import { assertRange, TonetapError } from "../../core/errors.ts";
import { AllowedPeers } from "./allowed-peers.ts";
import { DigestGuard, type DigestOptions } from "./digest-guard.ts";
import { addressOf } from "./outgoing-requests.ts";
import type { ParticipantDefaults } from "./participant-headers.ts";
import {
  type RegistrationOptions,
  type ResolvedRegistration,
  resolveRegistration,
} from "./registration-options.ts";
import type { SrtpPolicy } from "./sdp.ts";
import { type SessionTimerSettings, SHORTEST_SESSION_S } from "./session-terms.ts";
import type { SipCallInfo } from "./sip-call-info.ts";
import type { MediaPeer, OpenSipReception } from "./sip-reception.ts";
import { SipSource } from "./sip-source.ts";
import type { TlsIdentity } from "./sip-streams.ts";
import type { SipTransportName } from "./sip-transport.ts";
import { RoleRules } from "./siprec/role-rules.ts";

export interface SipServerOptions {
  /**
   * A call has come. Subscribe to `source.packets` before returning (a promise is awaited): then it is answered. Throw a TonetapError to refuse it
   * (policy 403, not-found 404, conflict 486, media 488, overloaded 503 with Retry-After, invalid-argument 400). Closing the
   * source later hangs up. For a recording session (SIPREC) it is called for each of its streams; one that is refused by
   * policy is not sent then, and the others go on.
   */
  readonly onCall: (source: AudioSource, call: SipCallInfo) => unknown;
  /** IP address to listen on. Default 127.0.0.1: this machine only. */
  readonly host?: string;
  /** UDP and TCP port. 0–65535, default 5060; 0: the system picks one. */
  readonly port?: number;
  /** Default udp and tcp; tls where `tls` is given. */
  readonly transports?: readonly SipTransportName[];
  /** Certificate and port (default 5061) of SIP over TLS. */
  readonly tls?: TlsIdentity & { readonly port?: number };
  /** IP address that RTP is received on. Default: `host`. */
  readonly rtpHost?: string;
  /** UDP ports for RTP, first and last, two a call. 1024–65535. Default: any free. */
  readonly rtpPorts?: readonly [number, number];
  /** The address of `host` as peers see it: needed behind NAT and when `host` is 0.0.0.0 or ::. */
  readonly announcedHost?: string;
  /** The same of `rtpHost`. Default: `rtpHost`, or `announcedHost` if that is no address of its own. */
  readonly announcedRtpHost?: string;
  /** Whose media a call takes; see {@link MediaPeer}. Default `signalled`. */
  readonly mediaPeer?: MediaPeer;
  /**
   * SRTP with keys in SDP (RFC 4568): taken where it is offered; `required` refuses RTP in the clear with 488. The keys are
   * as secret as the signalling: use TLS. Default `optional`.
   */
  readonly srtp?: SrtpPolicy;
  /** Hosts that may send requests: addresses and prefixes such as 192.0.2.0/24; others get 403. Default: everybody. */
  readonly allowedPeers?: readonly string[];
  /** With it, an INVITE that begins a call needs digest credentials (RFC 8760), else it gets 401. */
  readonly digest?: DigestOptions;
  /** Role and consent where the header fields say nothing. Default guest, pending. */
  readonly participantDefaults?: Partial<ParticipantDefaults>;
  /**
   * Which people in recordings have which role, `PATTERN=ROLE`, the first that fits counts: `sip:*@agents.example=agent`,
   * `1???=agent` (user part), `*=customer`. They go before what the metadata says. Default: none.
   */
  readonly recordingRoles?: readonly string[];
  /** The metadata of a recording says another consent for somebody whom `onCall` was told of. Default: nobody hears. */
  readonly onConsent?: (participant: ParticipantInfo) => unknown;
  /**
   * Session timers (RFC 4028), s: the interval that we ask for and the longest that we take, 90–86,400, default 1,800;
   * and the shortest that we take, 90–`sessionExpiresS`, default 90. Only peers that know of them, or proxies that ask
   * for them, get any.
   */
  readonly sessionExpiresS?: number;
  readonly minSessionExpiresS?: number;
  /** Registers us with a PBX or proxy, so that it sends calls here. Default: nobody is told. */
  readonly register?: RegistrationOptions;
  /** Calls at once; one more gets 503. 1–100,000, default 1,000. */
  readonly maxCalls?: number;
  /** Without RTP and RTCP for so long a call is ended, ms. 1,000–3,600,000, default 60,000. */
  readonly inactivityMs?: number;
  /** The same while the peer holds the call, ms. 1,000–86,400,000, default 3,600,000. */
  readonly holdMs?: number;
  /**
   * Told of requests that no call came of, for who sent them (`policy`: not among `allowedPeers`; `unauthenticated`: wrong
   * digest credentials, not the first request that lacks them) or since the server is full (`overloaded`). `host` is what the
   * network says: over UDP it may be forged. Default: nobody hears.
   */
  readonly onRefused?: (error: TonetapError, host: string) => void;
  /** Hears of defects: an `onCall` that threw what is no TonetapError, or code of ours. Default: a process warning. */
  readonly onError?: (error: TonetapError) => void;
  /**
   * Where calls' audio is received. `engine.media.openSip`: in the engine's shards, where it has any; their sources can be
   * given to `engine.attach()` only. Default: on this thread.
   */
  readonly openReception?: OpenSipReception;
  readonly clock?: Clock;
}

export interface ResolvedOptions {
  readonly onCall: SipServerOptions["onCall"];
  readonly host: string;
  readonly port: number;
  readonly transports: readonly SipTransportName[];
  readonly tls: (TlsIdentity & { readonly port: number }) | undefined;
  readonly rtpHost: string;
  readonly rtpPorts: readonly [number, number] | undefined;
  readonly announcedHost: string;
  readonly announcedRtpHost: string;
  readonly mediaPeer: MediaPeer;
  readonly srtp: SrtpPolicy;
  readonly allowedPeers: AllowedPeers;
  readonly digest: DigestGuard | undefined;
  readonly participantDefaults: ParticipantDefaults;
  readonly recordingRoles: RoleRules;
  readonly onConsent: (participant: ParticipantInfo) => unknown;
  readonly session: SessionTimerSettings;
  readonly register: ResolvedRegistration | undefined;
  readonly maxCalls: number;
  readonly inactivityMs: number;
  readonly holdMs: number;
  readonly onRefused: (error: TonetapError, host: string) => void;
  readonly onError: (error: TonetapError) => void;
  readonly openReception: OpenSipReception;
  readonly clock: Clock;
}

/** @throws TonetapError invalid-argument naming the option, its range and what came. */
export function resolveOptions(options: SipServerOptions): ResolvedOptions {
  const { host = "127.0.0.1", port = 5060, rtpPorts, maxCalls = 1_000 } = options;
  const { inactivityMs = 60_000, holdMs = 3_600_000, mediaPeer = "signalled", clock = systemClock } = options;
  const { sessionExpiresS = 1_800, minSessionExpiresS = SHORTEST_SESSION_S } = options;
  const rtpHost = options.rtpHost ?? host;
  const tls = options.tls === undefined ? undefined : { port: 5061, ...options.tls };
  const transports = options.transports ?? (tls === undefined ? ["udp", "tcp"] : ["udp", "tcp", "tls"]);
  assertAddress("host", host);
  assertAddress("rtpHost", rtpHost);
  assertRange("sip port", port, 0, 65_535);
  assertRange("sip tls.port", tls?.port ?? 0, 0, 65_535);
  assertRange("sip maxCalls", maxCalls, 1, 100_000);
  assertRange("sip inactivityMs", inactivityMs, 1_000, 3_600_000, "ms");
  assertRange("sip holdMs", holdMs, 1_000, 86_400_000, "ms");
  assertRange("sip sessionExpiresS", sessionExpiresS, SHORTEST_SESSION_S, 86_400, "s");
  assertRange("sip minSessionExpiresS", minSessionExpiresS, SHORTEST_SESSION_S, sessionExpiresS, "s");
  if (transports.length === 0 || transports.some((name) => !["udp", "tcp", "tls"].includes(name))) {
    fail("transports", "at least one of udp, tcp, tls", transports);
  }
  if (transports.includes("tls") && tls === undefined) fail("tls", "given for the transport tls", tls);
  if (mediaPeer !== "signalled" && mediaPeer !== "any") fail("mediaPeer", "signalled or any", mediaPeer);
  const { srtp = "optional" } = options;
  if (srtp !== "optional" && srtp !== "required") fail("srtp", "optional or required", srtp);
  if (rtpPorts !== undefined) {
    assertRange("sip rtpPorts[0]", rtpPorts[0], 1_024, 65_534);
    assertRange("sip rtpPorts[1]", rtpPorts[1], rtpPorts[0] + (rtpPorts[0] % 2) + 1, 65_535);
  }
  const announcedHost = announced("announcedHost", options.announcedHost, host);
  const fallback = isUnspecified(rtpHost) ? announcedHost : undefined;
  const announcedRtpHost = announced("announcedRtpHost", options.announcedRtpHost ?? fallback, rtpHost);
  return {
    onCall: options.onCall,
    host,
    port,
    transports,
    tls,
    rtpHost,
    rtpPorts,
    announcedHost,
    announcedRtpHost,
    mediaPeer,
    srtp,
    allowedPeers: new AllowedPeers(options.allowedPeers ?? []),
    digest: options.digest === undefined ? undefined : new DigestGuard(clock, options.digest),
    participantDefaults: { role: "guest", consent: "pending", ...options.participantDefaults },
    recordingRoles: new RoleRules(options.recordingRoles ?? []),
    onConsent: options.onConsent ?? (() => undefined),
    session: { sessionExpiresS, minSessionExpiresS },
    register: resolveRegister(options.register, transports),
    maxCalls,
    inactivityMs,
    holdMs,
    onRefused: options.onRefused ?? (() => undefined),
    onError: options.onError ?? ((error) => process.emitWarning(error)),
    openReception:
      options.openReception ?? ((reception, onEnd) => SipSource.open({ ...reception, clock, onEnd })),
    clock,
  };
}

function resolveRegister(
  options: RegistrationOptions | undefined,
  transports: readonly SipTransportName[],
): ResolvedRegistration | undefined {
  if (options === undefined) return undefined;
  const resolved = resolveRegistration(options);
  const { transport } = addressOf(resolved.registrar, "udp");
  if (!transports.includes(transport)) fail("transports", `with ${transport}, for the registrar`, transports);
  return resolved;
}

/** Peers cannot send to "any address". */
function announced(name: string, given: string | undefined, bound: string): string {
  const address = given ?? bound;
  assertAddress(name, address);
  if (isUnspecified(address)) fail(name, `given, since the server listens on ${bound}`, given);
  return address;
}

const isUnspecified = (host: string): boolean => host === "0.0.0.0" || host === "::";

function assertAddress(name: string, value: string): void {
  if (isIP(value) === 0) fail(name, "an IP address", value);
}

function fail(name: string, want: string, got: unknown): never {
  throw new TonetapError("invalid-argument", `sip ${name} must be ${want}, got ${JSON.stringify(got)}`);
}
