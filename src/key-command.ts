/** `tonetap key`: a new API key on standard output, its entry for the file of keys on standard error. */
import type { Writable } from "node:stream";
import { stringify } from "yaml";
import { ApiKeys, createKey } from "./access/index.ts";
import { systemClock } from "./core/clock.ts";

export interface KeyCommandOptions {
  readonly id: string;
  readonly flags: Readonly<Record<string, unknown>>;
  /** Gets the key and nothing else: `tonetap key desk > desk.key`. */
  readonly out: Writable;
  readonly err: Writable;
}

/** @returns the exit code. @throws TonetapError invalid-argument for an id, scope, tenant or time that is none */
export function writeKey({ id, flags, out, err }: KeyCommandOptions): number {
  const { key, hash } = createKey(id);
  const scopes = String(flags.scopes ?? "events:read")
    .split(",")
    .map((scope) => scope.trim());
  const entry = {
    id,
    hash,
    scopes,
    ...(flags.tenant === undefined ? {} : { tenant: flags.tenant }),
    ...(flags.expires === undefined ? {} : { expires: flags.expires }),
  };
  // Read as the service will read it: what would be refused there is refused here.
  new ApiKeys(stringify({ keys: [entry] }), systemClock);
  err.write(
    `Append to auth.keysFile, below "keys:"; the key itself is shown this once:\n${stringify([entry])}`,
  );
  out.write(`${key}\n`);
  return 0;
}
