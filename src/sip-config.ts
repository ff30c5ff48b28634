/** Options of the SIP door, part of config.ts. What they do is transport/sip; how they get there is sip-door.ts. */
import { z } from "zod";
import { list, number, secret, section, text, whole } from "./config-fields.ts";
import { CONSENT_STATES, PARTICIPANT_ROLES } from "./core/audio-source.ts";

export const sipSection = section("SIP", {
  transports: list("How SIP calls are taken: udp, tcp, tls; none takes no calls.").refine(
    (names) => names.every((name) => ["udp", "tcp", "tls"].includes(name)),
    { message: "must be among udp, tcp, tls" },
  ),
  host: text("127.0.0.1", "IP address that SIP and its RTP are received on."),
  port: whole(0, 65_535, 5060, "Port of SIP over UDP and TCP; 0 takes a free one."),
  tlsPort: whole(0, 65_535, 5061, "Port of SIP over TLS; 0 takes a free one."),
  tlsCertFile: text("", "PEM file with the certificate, and what leads to it, of SIP over TLS."),
  tlsKeyFile: text("", "PEM file with that certificate's key."),
  announcedHost: text(
    "",
    "IP address that SIP peers are told; empty: sip.host. Needed behind NAT and with 0.0.0.0.",
  ),
  rtpPortMin: whole(
    0,
    65_534,
    0,
    "First UDP port for the RTP of SIP calls, two a call; 0 takes any free ones.",
  ),
  rtpPortMax: whole(0, 65_535, 0, "Last UDP port for the RTP of SIP calls."),
  allowedPeers: list(
    "Hosts that may call, as addresses or prefixes (192.0.2.0/24); none: everybody who gets through.",
  ),
  usersFile: text("", "File of callers, name:password a line: then a call needs digest credentials."),
  tenant: text("", "Tenant that SIP calls belong to (docs/security.md); none: the operator's own."),
  realm: text("tonetap", "Realm of those credentials."),
  digestAlgorithms: list(
    "How they are proved, preferred first: SHA-256, MD5; none: both, so. Old callers read the first challenge only.",
  ).refine((names) => names.every((name) => name === "SHA-256" || name === "MD5"), {
    message: "must be among SHA-256, MD5",
  }),
  defaultRole: z
    .enum(PARTICIPANT_ROLES)
    .default("guest")
    .describe("Role of a caller whose INVITE has no X-Tonetap-Role."),
  defaultConsent: z
    .enum(CONSENT_STATES)
    .default("pending")
    .describe(
      "Consent of a caller whose INVITE has no X-Tonetap-Consent; nothing is analysed while pending.",
    ),
  recordingRoles: list(
    "Who has which role in a recording session (SIPREC), PATTERN=ROLE, the first that fits counts: " +
      "sip:*@agents.example=agent, 1???=agent (user part), *=customer. They go before what the metadata says.",
  ),
  mediaPeer: z
    .enum(["signalled", "any"])
    .default("signalled")
    .describe(
      "Whose RTP a call takes: of the hosts that the signalling names, or of the first sender (media relays).",
    ),
  srtp: z
    .enum(["optional", "required"])
    .default("optional")
    .describe("Whether SIP calls without SRTP (keys in SDP, RFC 4568) are taken; those with it always are."),
  inactivityMs: number(1_000, 3_600_000, 60_000, "ms without RTP and RTCP after which a SIP call is ended."),
  sessionExpiresS: whole(
    90,
    86_400,
    1_800,
    "Longest session interval of RFC 4028, s: how often a peer shows that it is there.",
  ),
  registerAs: text("", "Address of record to register, such as sip:tonetap@pbx.example; empty: none."),
  registrar: text(
    "",
    "Where to register it, such as sip:192.0.2.5;transport=tcp; empty: the host of sip.registerAs, UDP.",
  ),
  registerUser: text("", "User name for the registrar's challenge; empty: the user of sip.registerAs."),
  registerPassword: secret(text("", "Password for it. A secret.")),
  maxCalls: whole(1, 100_000, 1_000, "SIP calls at once; one more gets 503 with Retry-After."),
});
