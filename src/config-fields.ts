/** The building blocks of the configuration's schema: kinds of options, each with default, range and meaning. */
import { z } from "zod";

export const number = (min: number, max: number, standard: number, meaning: string) =>
  z.number().min(min).max(max).default(standard).describe(meaning);
export const whole = (min: number, max: number, standard: number, meaning: string) =>
  z.int().min(min).max(max).default(standard).describe(meaning);
export const text = (standard: string, meaning: string) => z.string().default(standard).describe(meaning);
/** Objects whose owner checks them; flags and environment give them as JSON. */
export const json = (meaning: string) =>
  z.array(z.record(z.string(), z.unknown())).default([]).describe(meaning);
export const list = (meaning: string) => z.array(z.string()).default([]).describe(meaning);
/** What nobody may read over a shoulder: `tonetap config` does not print it. Give it by the environment. */
export const secret = <T extends z.ZodType>(schema: T): T => schema.meta({ ...schema.meta(), secret: true });

export const numbers = (min: number, max: number, meaning: string) =>
  z
    .array(z.coerce.number().int().min(min).max(max))
    .default([])
    .describe(`${meaning} Whole numbers ${min}–${max}.`);

/** @param title what the options are about: the heading in the documentation and in --help */
export const section = <T extends z.ZodRawShape>(title: string, shape: T) =>
  z
    .strictObject(shape)
    .describe(title)
    .prefault({} as never);
