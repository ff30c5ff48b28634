/**
 * API keys: how they are made, and the file that says which are good. The file holds no key, only SHA-256 of each: a key
 * is 256 random bits, so there is nothing to guess that a slower hash would protect.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { parse } from "yaml";
import { z } from "zod";
import type { Clock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import { assertTenant } from "../core/tenant.ts";
import { Grant, parseScope, type Scope } from "./grant.ts";

const ID = /^[A-Za-z0-9][A-Za-z0-9-]{0,62}$/;
/** `tt_<id>_<32 bytes as base64url>`: the id finds the entry, scanners of repositories know keys by their beginning. */
const KEY = /^tt_([A-Za-z0-9][A-Za-z0-9-]{0,62})_[\w-]{43}$/;
const HASH = /^sha256:[0-9a-f]{64}$/;
const MAX_KEYS = 100_000;

const fileSchema = z.strictObject({
  keys: z
    .array(
      z.strictObject({
        id: z.string().regex(ID, 'must be 1–63 letters, digits or "-"'),
        hash: z.string().regex(HASH, "must be sha256: and 64 hexadecimal digits, as `tonetap key` prints it"),
        scopes: z.array(z.string()).min(1),
        tenant: z.string().optional(),
        expires: z.iso.datetime({ offset: true }).optional(),
      }),
    )
    .max(MAX_KEYS),
});

interface Entry {
  readonly id: string;
  readonly digest: Buffer;
  readonly scopes: readonly Scope[];
  readonly tenant: string | undefined;
  /** Wall time, ms. */
  readonly expiresMs: number;
  /** As it stands in the file, to see whether it has changed there. */
  readonly text: string;
}

/** What is written where, for a new key. */
export interface NewKey {
  /** For its holder; nobody else ever sees it again. */
  readonly key: string;
  /** For the file. */
  readonly hash: string;
}

/** @throws TonetapError invalid-argument for an id that is none */
export function createKey(id: string): NewKey {
  if (!ID.test(id)) {
    throw new TonetapError(
      "invalid-argument",
      `a key's id must be 1–63 letters, digits or "-", got ${JSON.stringify(id).slice(0, 80)}`,
    );
  }
  const key = `tt_${id}_${randomBytes(32).toString("base64url")}`;
  return { key, hash: `sha256:${digestOf(key).toString("hex")}` };
}

export class ApiKeys {
  readonly #clock: Clock;
  #entries: ReadonlyMap<string, Entry>;

  /** @throws TonetapError invalid-argument, naming what is wrong in the file and where, never a hash */
  constructor(yaml: string, clock: Clock) {
    this.#clock = clock;
    this.#entries = readEntries(yaml);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Takes another list. Grants of keys that are not in it, or changed in it, are worth nothing from now on. */
  replace(yaml: string): void {
    this.#entries = readEntries(yaml);
  }

  /** Whether it is worth looking here: a key, not a JWT. */
  static looksLikeKey(token: string): boolean {
    return KEY.test(token);
  }

  /** Undefined for a key that is not, or no longer, good. */
  find(key: string): Grant | undefined {
    const id = KEY.exec(key)?.[1];
    const entry = id === undefined ? undefined : this.#entries.get(id);
    // Compared even where there is no such id: how long it takes says nothing of which ids there are.
    const same = timingSafeEqual(digestOf(key), entry?.digest ?? NO_DIGEST);
    if (entry === undefined || !same || !this.#isGood(entry)) return undefined;
    return new Grant({
      name: `key ${entry.id}`,
      tenant: entry.tenant,
      scopes: entry.scopes,
      isValid: () => this.#isGood(entry),
    });
  }

  #isGood({ id, text, expiresMs }: Entry): boolean {
    return this.#entries.get(id)?.text === text && this.#clock.wall() < expiresMs;
  }
}

const NO_DIGEST = Buffer.alloc(32);

const digestOf = (key: string): Buffer => createHash("sha256").update(key).digest();

function readEntries(text: string): Map<string, Entry> {
  const result = fileSchema.safeParse(parseYaml(text));
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new TonetapError(
      "invalid-argument",
      `auth.keysFile: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`,
    );
  }
  const entries = new Map<string, Entry>();
  for (const entry of result.data.keys) {
    const { id, hash, scopes, tenant, expires } = entry;
    if (entries.has(id))
      throw new TonetapError("invalid-argument", `auth.keysFile: the id ${id} stands there twice`);
    if (tenant !== undefined) assertTenant(tenant);
    entries.set(id, {
      id,
      digest: Buffer.from(hash.slice("sha256:".length), "hex"),
      scopes: scopes.map(parseScope),
      tenant,
      expiresMs: expires === undefined ? Number.MAX_SAFE_INTEGER : Date.parse(expires),
      text: JSON.stringify(entry),
    });
  }
  return entries;
}

function parseYaml(text: string): unknown {
  try {
    return parse(text);
  } catch {
    // The parser's own message would repeat the line.
    throw new TonetapError("invalid-argument", "auth.keysFile is no YAML");
  }
}
