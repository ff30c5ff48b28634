/** An alert rule: its shape, what it measures, whom it is about. Judging it over time is alert-watch.ts. */
import { z } from "zod";
import { PARTICIPANT_ROLES } from "../../core/audio-source.ts";
import { TonetapError } from "../../core/errors.ts";
import { explain } from "../event-filter.ts";
import type { EventData } from "../schema.ts";

/** `support-*`: a trailing `*` stands for anything. */
const patterns = z.array(z.string().min(1).max(128)).min(1).max(256);
const durationMs = (max: number, standard: number) => z.number().min(0).max(max).default(standard);
const level = z.number().min(-1).max(1);

const fields = {
  id: z
    .string()
    .regex(/^[\w.-]{1,64}$/, 'must be 1–64 letters, digits, ".", "_" or "-"')
    .describe("Names the rule in events and at /v1/alerts/rules."),
  name: z.string().min(1).max(128).optional().describe("For people."),
  labels: z
    .array(z.string().min(1).max(64))
    .min(1)
    .max(16)
    .optional()
    .describe("The sum of these probabilities is measured. This or `axis`."),
  axis: z.enum(["valence", "arousal"]).optional().describe("This is measured, −1 … 1. This or `labels`."),
  above: level.optional().describe("Met from this value up. This or `below`."),
  below: level.optional().describe("Met from this value down. This or `above`."),
  minDurationMs: durationMs(600_000, 3_000).describe("ms of speech for which it must be met, 0–600,000."),
  clearAfterMs: durationMs(600_000, 5_000).describe(
    "ms after which the alert is cleared when it is no longer met, silence included, 0–600,000.",
  ),
  coolDownMs: durationMs(3_600_000, 30_000).describe(
    "ms after an alert was cleared before the rule may raise another for the same voice, 0–3,600,000.",
  ),
  roles: z.array(z.enum(PARTICIPANT_ROLES)).min(1).optional().describe("Only participants of these roles."),
  calls: patterns.optional().describe("Only these calls; a trailing `*` stands for anything."),
} as const;

export const alertRuleSchema = z
  .strictObject(fields)
  .refine(({ labels, axis }) => (labels === undefined) !== (axis === undefined), {
    message: "give either labels or axis",
  })
  .refine(({ above, below }) => (above === undefined) !== (below === undefined), {
    message: "give either above or below",
  });

/** The same where the address says which rule it is. What it lacks is checked with its id, as {@link alertRuleSchema}. */
export const addressedRuleSchema = z.strictObject({ ...fields, id: fields.id.optional() });

/** A rule with every default filled in. */
export type AlertRule = z.output<typeof alertRuleSchema>;
/** A rule as a user writes it. */
export type AlertRuleInput = z.input<typeof alertRuleSchema>;

/**
 * @param labels of the model: a rule on any other would never be met
 * @throws TonetapError invalid-argument, saying what is wrong with it
 */
export function parseAlertRule(value: unknown, labels: readonly string[]): AlertRule {
  const result = alertRuleSchema.safeParse(value);
  if (!result.success) throw new TonetapError("invalid-argument", `alert rule: ${explain(result.error)}`);
  const unknown = (result.data.labels ?? []).filter((label) => !labels.includes(label));
  if (unknown.length > 0) {
    throw new TonetapError(
      "invalid-argument",
      `alert rule ${result.data.id}: the model has no label ${unknown.join(", ")}; it has ${labels.join(", ")}`,
    );
  }
  return result.data;
}

/** What an event calls it: `angry+disgust`, `valence`. */
export const measureName = ({ labels, axis }: AlertRule): string => labels?.join("+") ?? axis ?? "";

export const thresholdOf = ({ above, below }: AlertRule): number => above ?? below ?? 0;

export function measure({ labels, axis }: AlertRule, data: EventData<"emotion">): number {
  if (axis !== undefined) return data[axis];
  let sum = 0;
  for (const label of labels ?? []) sum += data.scores[label] ?? 0;
  return sum;
}

/** Whether the rule looks at this participant. */
export function isAbout(
  { roles, calls }: AlertRule,
  { callId, role }: Pick<EventData<"emotion">, "callId" | "role">,
): boolean {
  if (roles !== undefined && !roles.includes(role)) return false;
  return (
    calls === undefined ||
    calls.some((pattern) =>
      pattern.endsWith("*") ? callId.startsWith(pattern.slice(0, -1)) : callId === pattern,
    )
  );
}
