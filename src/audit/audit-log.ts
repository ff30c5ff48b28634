/**
 * A file that can be added to and not changed unseen: one JSON record a line, each with the SHA-256 of itself and of the
 * one before. Which records there are is record-calls.ts.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { createInterface } from "node:readline";
import { type Clock, systemClock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import { ClosesOnce } from "../core/lifecycle.ts";

/** What the first record's `prev` is. */
const NOTHING = "0".repeat(64);
/** The hash stands last, so that what it is of is the line before it, byte by byte. */
const LINE = /^(.*),"hash":"([0-9a-f]{64})"\}$/;
/** Records not yet on disk, at most: beyond it the log has failed. */
const MAX_WAITING = 100_000;

export interface AuditLogOptions {
  readonly clock?: Clock;
  /** Told once when records can no longer be written. */
  readonly onError?: (error: TonetapError) => void;
}

/** What an audit log holds, as far as it is whole. */
export interface AuditSummary {
  readonly records: number;
  /** Of the last record: whoever noted it elsewhere sees whether the end was cut off. */
  readonly hash: string;
  /** Lines that a crash left unfinished, each acknowledged by the record after it. */
  readonly torn: number;
}

export class AuditLog extends ClosesOnce {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #clock: Clock;
  readonly #onError: (error: TonetapError) => void;
  #seq: number;
  #hash: string;
  #waiting: string[] = [];
  #writing: Promise<void> | undefined;
  #failure: TonetapError | undefined;

  private constructor(
    path: string,
    file: FileHandle,
    { records, hash }: AuditSummary,
    options: AuditLogOptions,
  ) {
    super();
    this.path = path;
    this.#file = file;
    this.#clock = options.clock ?? systemClock;
    this.#onError = options.onError ?? (() => undefined);
    this.#seq = records;
    this.#hash = hash;
  }

  /**
   * Goes on where the file ends, or begins it (readable by its owner only). One process a file.
   * @throws TonetapError invalid-argument for a file that cannot be written, conflict for one whose chain is broken
   */
  static async open(path: string, options: AuditLogOptions = {}): Promise<AuditLog> {
    const file = await open(path, "a+", 0o600).catch((error: unknown) => {
      throw new TonetapError(
        "invalid-argument",
        `audit.file must be a file that can be written, got ${JSON.stringify(path)}`,
        { cause: error },
      );
    });
    try {
      if (!(await file.stat()).isFile()) {
        throw new TonetapError(
          "invalid-argument",
          `audit.file must be a plain file, got ${JSON.stringify(path)}`,
        );
      }
      const { unfinished, ...summary } = await read(path);
      const log = new AuditLog(path, file, summary, options);
      if (unfinished > 0) {
        // The line stays as it is, and is said to be what it is.
        await file.appendFile("\n");
        log.append("audit.recovered", { tornBytes: unfinished });
      }
      return log;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Why records are no longer written; undefined while all is well. */
  get failure(): TonetapError | undefined {
    return this.#failure;
  }

  /** Adds a record; it is written and synced to disk (fdatasync) behind the caller's back, many at once. */
  append(type: string, data: Readonly<Record<string, unknown>>): void {
    if (this.#failure !== undefined || this.closing) return;
    if (this.#waiting.length >= MAX_WAITING) {
      this.#fail(new TonetapError("overloaded", `${MAX_WAITING} records wait for the disk`));
      return;
    }
    const time = new Date(this.#clock.wall()).toISOString();
    const body = JSON.stringify({ seq: this.#seq++, time, type, data, prev: this.#hash }).slice(0, -1);
    this.#hash = hashOf(body);
    this.#waiting.push(`${body},"hash":"${this.#hash}"}\n`);
    this.#writing ??= this.#write();
  }

  /** Resolves when everything added so far is on disk, or the log has failed. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  protected async release(): Promise<void> {
    await this.flush();
    await this.#file.close();
  }

  async #write(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const lines = this.#waiting;
        this.#waiting = [];
        await this.#file.appendFile(lines.join(""));
        await this.#file.datasync();
      }
    } catch (error) {
      this.#fail(TonetapError.from(error, "unavailable", `the audit log ${this.path} cannot be written`));
    } finally {
      this.#writing = undefined;
    }
  }

  #fail(error: TonetapError): void {
    this.#failure = error;
    this.#waiting = [];
    this.#onError(error);
  }
}

/**
 * Reads a log from its first record to its last.
 * @throws TonetapError conflict, naming the first line that is not what was written there; not-found
 */
export async function verifyAuditLog(path: string): Promise<AuditSummary> {
  const { unfinished, ...summary } = await read(path);
  if (unfinished > 0)
    throw new TonetapError("conflict", `${path}: the last line is unfinished: ${unfinished} bytes`);
  return summary;
}

async function read(path: string): Promise<AuditSummary & { readonly unfinished: number }> {
  let records = 0;
  let hash = NOTHING;
  let torn = 0;
  let number = 0;
  let pending: { readonly number: number; readonly bytes: number } | undefined;
  const input = createReadStream(path);
  let lastByte = 0x0a;
  input.on("data", (chunk) => {
    lastByte = typeof chunk === "string" ? lastByte : (chunk.at(-1) ?? lastByte);
  });
  const broken = (line: number, what: string): TonetapError =>
    new TonetapError("conflict", `${path}: line ${line} ${what}`);
  try {
    for await (const line of createInterface({ input, crlfDelay: 0 })) {
      number++;
      const record = parse(line);
      if (record === undefined) {
        if (pending !== undefined) throw broken(pending.number, "is no record, or was changed");
        pending = { number, bytes: Buffer.byteLength(line) };
        continue;
      }
      if (pending !== undefined) {
        if (record.type !== "audit.recovered") throw broken(pending.number, "is no record, or was changed");
        torn++;
        pending = undefined;
      }
      if (record.prev !== hash)
        throw broken(number, "does not follow the one before: something was changed or taken out");
      if (record.seq !== records) throw broken(number, `is record ${record.seq}, and should be ${records}`);
      hash = record.hash;
      records++;
    }
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      throw new TonetapError("not-found", `there is no file ${path}`, { cause: error });
    }
    throw error;
  }
  // A line that ends was not cut off: it is no record.
  if (pending !== undefined && lastByte === 0x0a)
    throw broken(pending.number, "is no record, or was changed");
  return { records, hash, torn, unfinished: pending?.bytes ?? 0 };
}

interface ReadRecord {
  readonly seq: unknown;
  readonly type: unknown;
  readonly prev: unknown;
  readonly hash: string;
}

/** Undefined for a line that is none, or not what its hash is of. */
function parse(line: string): ReadRecord | undefined {
  const [, body = "", hash = ""] = LINE.exec(line) ?? [];
  if (hash === "" || hashOf(body) !== hash) return undefined;
  try {
    const { seq, type, prev } = JSON.parse(`${body}}`) as Record<string, unknown>;
    return { seq, type, prev, hash };
  } catch {
    return undefined;
  }
}

const hashOf = (body: string): string => createHash("sha256").update(body).digest("hex");
