/** Options of consent and notices, part of config.ts. What they do is analysis-gate.ts and notice/; docs/consent.md tells it to users. */
import { z } from "zod";
import { list, number, secret, section, text, whole } from "./config-fields.ts";

const keys = (meaning: string) =>
  z
    .string()
    .regex(/^[0-9*#A-D]{0,8}$/)
    .default("")
    .describe(meaning);

export const consentSection = section("Consent by telephone keys", {
  grantKeys: keys("Keys that give consent, such as *1 (0–9, *, #, A–D, 8 at most); empty: none do."),
  withdrawKeys: keys("Keys that take it back, such as *9; empty: none do."),
  keyPauseMs: number(200, 30_000, 3_000, "ms between two keys of a row at most."),
}).refine(
  ({ grantKeys: grant, withdrawKeys: withdraw }) =>
    grant === "" || withdraw === "" || !(grant.endsWith(withdraw) || withdraw.endsWith(grant)),
  { path: ["grantKeys"], message: "and consent.withdrawKeys must not end in one another" },
);

export const noticeSection = section("Telling people that they are analysed", {
  mode: z
    .enum(["off", "webhook", "api"])
    .default("off")
    .describe(
      "Who says that the notice was given: nobody is asked; notice.url is, by a signed POST; or a program over REST, " +
        "on the event participant.notice. Under policy eu analysis waits for it (docs/consent.md).",
    ),
  url: text("", "Where notices are asked for: http or https; webhook only."),
  secrets: secret(list("whsec_… (Standard Webhooks): each signs the request. Secrets; webhook only.")),
  timeoutMs: whole(100, 600_000, 30_000, "ms from asking to the proof; then it is asked again."),
  maxAttempts: whole(
    1,
    20,
    5,
    "Times that it is asked; then analysis stays paused until a proof is brought.",
  ),
  firstRetryMs: whole(
    10,
    60_000,
    1_000,
    "ms before the second time; each further one waits twice as long, 60 s at most.",
  ),
}).refine(
  ({ mode, url, secrets }) =>
    mode !== "webhook" || (/^https?:$/.test(URL.parse(url)?.protocol ?? "") && secrets.length > 0),
  {
    path: ["url"],
    message: "must be an http or https address, and notice.secrets not empty, for notice.mode webhook",
  },
);
