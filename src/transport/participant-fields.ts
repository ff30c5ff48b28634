/** What a parameter that says who is speaking may hold, whichever way it came. Its names are those of who reads it. */
import { TonetapError } from "../core/errors.ts";

/** What a participant may be called: 1–128 printable characters. */
export const isPrintable = (value: string): boolean =>
  // \p{C}: control, format, unassigned and surrogate code points.
  /^\P{C}{1,128}$/u.test(value);

/** @throws TonetapError invalid-argument naming the parameter, its range and what came. */
export function printable(name: string, value: string | undefined): string | undefined {
  if (value === undefined || isPrintable(value)) return value;
  throw new TonetapError(
    "invalid-argument",
    `${name} must be 1–128 printable characters, got ${quote(value)}`,
  );
}

/** @throws TonetapError invalid-argument naming the parameter, its values and what came. */
export function oneOf<T extends string>(
  name: string,
  value: string | undefined,
  values: readonly T[],
): T | undefined {
  if (value === undefined) return undefined;
  const found = values.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  throw new TonetapError(
    "invalid-argument",
    `${name} must be one of ${values.join(", ")}, got ${quote(value)}`,
  );
}

/** As much of it as an error may repeat. */
export const quote = (value: string): string =>
  JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
