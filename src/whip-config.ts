/** Options of the WHIP endpoint. What each does is transport/werift. */
import { z } from "zod";
import { list, number, secret, section, text, whole } from "./config-fields.ts";

export const whipSection = section("WHIP: WebRTC publishers", {
  iceServers: list("STUN and TURN URLs for WHIP, told to publishers; none by default."),
  turnUsername: text("", "Account at the TURN servers, the same for every publisher."),
  turnCredential: secret(text("", "Password of that account. A secret.")),
  turnSecret: secret(
    text(
      "",
      "Instead of an account: the TURN servers' static-auth-secret; publishers get credentials that expire. A secret.",
    ),
  ),
  turnTtlS: whole(60, 604_800, 86_400, "s that such credentials are valid: longer than a call."),
  iceRelay: z
    .enum(["never", "also", "only"])
    .default("never")
    .describe(
      "Whether this side takes a relay of the TURN server too; only: it has no other way. Publishers may always.",
    ),
  hostAddresses: list("Further addresses to offer as ICE host candidates (a public address behind NAT)."),
  inactivityMs: number(1_000, 600_000, 10_000, "ms without a packet after which a WHIP publisher has left."),
  maxSessions: whole(1, 10_000, 200, "WHIP publishers at once; one more gets 503."),
  tokens: secret(list("Bearer tokens that may publish over WHIP; none: everyone may. Secrets.")),
})
  .refine(({ turnSecret, turnUsername }) => turnSecret === "" || turnUsername === "", {
    path: ["turnSecret"],
    message: "and whip.turnUsername exclude each other",
  })
  .refine(({ turnUsername, turnCredential }) => (turnUsername === "") === (turnCredential === ""), {
    path: ["turnCredential"],
    message: "and whip.turnUsername need each other",
  });
