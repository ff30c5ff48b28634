/** The text messages of media connections: JSON objects. What they say is each dialect's own. */
import { TonetapError } from "../../core/errors.ts";

/** @throws TonetapError protocol for what is no JSON object */
export function parseMessage(message: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(message);
  } catch (error) {
    throw new TonetapError("protocol", "a message is not JSON", { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TonetapError("protocol", "a message is not a JSON object");
  }
  return value as Readonly<Record<string, unknown>>;
}
