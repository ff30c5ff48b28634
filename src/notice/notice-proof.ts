/** The proof that a participant was told: who told them, when, how. Getting it is notice-giving.ts. */
import { z } from "zod";
import { TonetapError } from "../core/errors.ts";

const printable = (what: string) =>
  z
    .string()
    .regex(/^\P{C}{1,128}$/u, "must be 1–128 printable characters")
    .describe(what);

/** How a notice can reach somebody. */
export const NOTICE_WAYS = ["played", "shown", "read"] as const;

const proofFields = {
  by: printable("Who gave the notice: an IVR, a page, an agent's name."),
  how: z.enum(NOTICE_WAYS).describe("An announcement was played, a text was shown, somebody read it out."),
  reference: printable("What finds the notice again in the giver's own records.").optional(),
  language: z
    .string()
    .max(35)
    .regex(/^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$/, "must be a language tag such as de-AT (BCP 47)")
    .optional()
    .describe("Of the notice, BCP 47."),
  at: z.iso.datetime({ offset: true }).describe("When it was given, RFC 3339."),
};

export const noticeProofSchema = z.strictObject(proofFields);

/** Who, when and how somebody was told. */
export interface NoticeProof {
  readonly by: string;
  readonly how: (typeof NOTICE_WAYS)[number];
  readonly reference?: string;
  readonly language?: string;
  /** RFC 3339. */
  readonly at: string;
}

/** An acknowledgement, as {@link parseNoticeProof} takes it. */
export const noticeAnswerSchema = z.strictObject({
  ...proofFields,
  by: proofFields.by.optional(),
  at: proofFields.at.optional(),
});

/** Clocks differ; a notice of tomorrow is a mistake. */
const MAX_AHEAD_MS = 60_000;

/**
 * Reads an acknowledgement. `by` and `at` may be left out: then whoever answered gave the notice, now.
 * @throws TonetapError invalid-argument naming what is wrong with it
 */
export function parseNoticeProof(value: unknown, by: string, nowMs: number): NoticeProof {
  const result = noticeAnswerSchema.safeParse(value);
  if (!result.success) {
    const reasons = result.error.issues.map(({ path, message }) =>
      path.length === 0 ? message : `${path.join(".")}: ${message}`,
    );
    throw new TonetapError("invalid-argument", `no proof of a notice: ${reasons.join("; ")}`);
  }
  const { data } = result;
  const atMs = data.at === undefined ? nowMs : Date.parse(data.at);
  if (atMs > nowMs + MAX_AHEAD_MS) {
    throw new TonetapError("invalid-argument", `no proof of a notice: at: ${data.at} is yet to come`);
  }
  return {
    by: data.by ?? by,
    how: data.how,
    ...(data.reference === undefined ? {} : { reference: data.reference }),
    ...(data.language === undefined ? {} : { language: data.language }),
    at: new Date(atMs).toISOString(),
  };
}
