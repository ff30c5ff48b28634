/** Options that say who may use the service, part of config.ts. What they do is access/; docs/security.md tells it to users. */
import { z } from "zod";
import { secret, section, text, whole } from "./config-fields.ts";

export const authSection = section("Who may use the service", {
  keysFile: text(
    "",
    "YAML file of API keys, as hashes (docs/security.md); it is read again when it changes.",
  ),
  jwtSecret: secret(
    text("", "Tokens are signed with this (HS256, HS384, HS512), at least 32 bytes. A secret."),
  ),
  jwksFile: text("", "File with the public keys that tokens are signed with (JWKS: RS, PS, ES, EdDSA)."),
  jwksUrl: text("", "Address of such a file on your own network; it is fetched when a key is not known."),
  jwtIssuer: text("", "What a token's iss must be; empty: anything."),
  jwtAudience: text("tonetap", "What a token's aud must be, or contain."),
  maxRequestsPerSecond: whole(
    1,
    10_000,
    50,
    "Requests and connections a second of one key or token, ten times as many at once; more get 429.",
  ),
  anonymous: z
    .enum(["loopback", "anyone"])
    .default("loopback")
    .describe(
      "Who may use a service without keys and tokens: whoever is on this machine, or, at your own risk, anyone who reaches it.",
    ),
})
  .refine(
    ({ jwtSecret, jwksFile, jwksUrl }) =>
      [jwtSecret, jwksFile, jwksUrl].filter((value) => value !== "").length < 2,
    {
      path: ["jwksUrl"],
      message: ", auth.jwksFile and auth.jwtSecret exclude each other",
    },
  )
  .refine(
    ({ anonymous, keysFile, jwtSecret, jwksFile, jwksUrl }) =>
      anonymous === "loopback" || [keysFile, jwtSecret, jwksFile, jwksUrl].every((value) => value === ""),
    {
      path: ["anonymous"],
      message: "must be loopback where there are keys or tokens: they are always asked for",
    },
  );
