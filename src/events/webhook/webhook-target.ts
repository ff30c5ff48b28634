/** Where webhooks go: the shape of a target. It comes from the configuration alone: nobody makes us call addresses over HTTP. */
import { z } from "zod";
import { TonetapError } from "../../core/errors.ts";
import { type EventFilter, eventFilterSchema, explain } from "../event-filter.ts";
import { parseSecret } from "./signature.ts";

const ms = (min: number, max: number, standard: number, what: string) =>
  z.number().min(min).max(max).default(standard).describe(what);

export const webhookTargetSchema = z.strictObject({
  id: z
    .string()
    .regex(/^[\w.-]{1,64}$/, 'must be 1–64 letters, digits, ".", "_" or "-"')
    .describe("Names the target at /v1/webhooks."),
  url: z
    .url({ protocol: /^https?$/ })
    .refine((url) => new URL(url).username === "" && new URL(url).password === "", "must hold no password")
    .describe("http or https. Redirects are not followed."),
  secrets: z
    .array(z.string())
    .min(1)
    .max(4)
    .describe(
      "`whsec_…` (Standard Webhooks): every request is signed with each, so that one can be replaced.",
    ),
  filter: eventFilterSchema
    .default({ kinds: ["alert.raised", "alert.cleared"] })
    .describe("Default: alerts."),
  timeoutMs: ms(100, 60_000, 10_000, "ms that an answer may take."),
  maxAttempts: z.int().min(1).max(20).default(8).describe("Attempts before an event is a dead letter."),
  firstRetryMs: ms(10, 60_000, 1_000, "ms before the second attempt; each further one waits twice as long."),
  maxRetryMs: ms(10, 3_600_000, 300_000, "ms between attempts at most."),
  queueLimit: z.int().min(1).max(10_000).default(1_000).describe("Events of each sort that wait at most."),
});

export interface WebhookTarget {
  readonly id: string;
  readonly url: URL;
  readonly keys: readonly Buffer[];
  readonly filter: EventFilter;
  readonly timeoutMs: number;
  readonly maxAttempts: number;
  readonly firstRetryMs: number;
  readonly maxRetryMs: number;
  readonly queueLimit: number;
}

/** @throws TonetapError invalid-argument, saying what is wrong with it, never the secret */
export function parseWebhookTarget(value: unknown): WebhookTarget {
  const result = webhookTargetSchema.safeParse(value);
  if (!result.success) throw new TonetapError("invalid-argument", `webhook target: ${explain(result.error)}`);
  const { url, secrets, ...rest } = result.data;
  return { ...rest, url: new URL(url), keys: secrets.map(parseSecret) };
}
