/**
 * What AudioHook's client says (Genesys Cloud Developer Center, "AudioHook protocol reference", version 2). What we do
 * about it is audiohook-dialect.ts.
 */
import { z } from "zod";

const sequence = z.int().min(0);
const record = z.record(z.string(), z.unknown());

/** ISO 8601 as the protocol has it: `PT12.345S`. In seconds. */
const duration = z
  .string()
  .regex(/^PT\d{1,9}(\.\d{1,20})?S$/)
  .transform((text) => Number(text.slice(2, -1)));

export const clientMessage = z.object({
  version: z.literal("2"),
  id: z.string().min(1).max(128),
  type: z.string().min(1).max(64),
  seq: sequence,
  serverseq: sequence,
  position: duration,
  parameters: record,
});

export type ClientMessage = z.output<typeof clientMessage>;

const channel = z.enum(["external", "internal"]);
export type Channel = z.output<typeof channel>;

export const mediaOffer = z.object({
  type: z.string(),
  format: z.string(),
  channels: z.array(channel).min(1).max(2),
  rate: z.number(),
});

export type MediaOffer = z.output<typeof mediaOffer>;

export const openParameters = z.object({
  organizationId: z.string(),
  conversationId: z.string().min(1).max(128),
  participant: z.object({ id: z.string().min(1).max(128), aniName: z.string().nullish() }),
  media: z.array(z.unknown()).max(64),
  customConfig: record.nullish(),
});

/** Audio that was left out: at `start`, `discarded` of it, in seconds. */
export const leftOut = z.object({ start: duration, discarded: duration });

/** Genesys Cloud tries a connection with these, and expects it to open; there is no conversation behind it. */
export const NULL_UUID = "00000000-0000-0000-0000-000000000000";

/** A key of the customer's telephone. */
export const pressed = z.object({ digit: z.string().max(8) });
