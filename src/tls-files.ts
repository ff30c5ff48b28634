/**
 * Certificate and key of the service, in files: checked before they are used, read again when they change. Listening
 * with them is events/http-server.ts.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import type { Config } from "./config.ts";
import type { Clock } from "./core/clock.ts";
import { TonetapError } from "./core/errors.ts";
import type { Closable } from "./core/lifecycle.ts";
import type { TlsMaterial } from "./events/index.ts";

/** ms between looks whether the files have changed. */
const RELOAD_MS = 2_000;

export interface TlsFilesOptions {
  readonly service: Config["service"];
  readonly clock: Clock;
  /** Told when the files were changed to something that is not good; what was before stays in force. */
  readonly onError: (error: TonetapError) => void;
}

export class TlsFiles implements Closable {
  readonly #options: TlsFilesOptions;
  #material: TlsMaterial;
  /** Of what is in force, or was refused. */
  #version: string;
  /** Of the last look. */
  #seen: string;
  #apply: (material: TlsMaterial) => void = () => undefined;
  #stopWatching: () => void = () => undefined;
  #looking: Promise<void> = Promise.resolve();

  private constructor(options: TlsFilesOptions, material: TlsMaterial, version: string) {
    this.#options = options;
    this.#material = material;
    this.#version = version;
    this.#seen = version;
  }

  /**
   * Undefined where the service is to speak in the clear.
   * @throws TonetapError invalid-argument, naming the option whose file is not good, and why
   */
  static async open(options: TlsFilesOptions): Promise<TlsFiles | undefined> {
    if (options.service.tlsCertFile === "") return undefined;
    const version = await versionOf(options.service);
    return new TlsFiles(options, await readMaterial(options), version);
  }

  /** What is in force. */
  get material(): TlsMaterial {
    return this.#material;
  }

  /** Gives on what the files say from now on, whenever they change. */
  watch(apply: (material: TlsMaterial) => void): void {
    this.#apply = apply;
    this.#stopWatching = this.#options.clock.repeat(RELOAD_MS, () => {
      this.#looking = this.#look();
    });
  }

  /**
   * Reads the files now.
   * @throws TonetapError as {@link open}; what was before stays in force
   */
  async reload(): Promise<void> {
    this.#version = await versionOf(this.#options.service);
    this.#material = await readMaterial(this.#options);
    this.#apply(this.#material);
  }

  async close(): Promise<void> {
    this.#stopWatching();
    await this.#looking;
  }

  async #look(): Promise<void> {
    try {
      const version = await versionOf(this.#options.service);
      const isStill = version === this.#seen;
      this.#seen = version;
      // Certificate and key are written one after the other: only what has come to rest is read, and complained of once.
      if (isStill && version !== this.#version) await this.reload();
    } catch (error) {
      this.#version = this.#seen;
      this.#options.onError(
        TonetapError.from(error, "unavailable", "the certificate of before stays in force"),
      );
    }
  }
}

type Named = "tlsCertFile" | "tlsKeyFile" | "tlsClientCaFile";

async function readMaterial({ service, clock }: TlsFilesOptions): Promise<TlsMaterial> {
  const { tlsCertFile, tlsKeyFile, tlsClientCaFile, tlsMinVersion } = service;
  const cert = await readPem("tlsCertFile", tlsCertFile);
  const key = await readPem("tlsKeyFile", tlsKeyFile);
  const certificate = certificateIn("tlsCertFile", cert);
  if (!certificate.checkPrivateKey(keyIn(key))) {
    throw wrong(
      `tlsKeyFile ${JSON.stringify(tlsKeyFile)} is not the key of ${nameOf(certificate)} in tlsCertFile`,
    );
  }
  assertValid("tlsCertFile", certificate, clock);
  const ca = tlsClientCaFile === "" ? undefined : await readPem("tlsClientCaFile", tlsClientCaFile);
  if (ca !== undefined) assertValid("tlsClientCaFile", certificateIn("tlsClientCaFile", ca), clock);
  return { cert, key, minVersion: tlsMinVersion, ...(ca === undefined ? {} : { clientCa: ca }) };
}

async function readPem(option: Named, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw wrong(`${option} must be a file that can be read, got ${JSON.stringify(path)}`, error);
  }
}

/** The first of the file: its own, before those that lead to it. */
function certificateIn(option: Named, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw wrong(`${option} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)`, error);
  }
}

function keyIn(pem: string): KeyObject {
  if (/^-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(pem)) {
    throw wrong(
      "tlsKeyFile is protected by a passphrase: give a key without, in a file that only the service can read",
    );
  }
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw wrong("tlsKeyFile holds no private key in PEM (-----BEGIN PRIVATE KEY-----)", error);
  }
}

function assertValid(option: Named, certificate: X509Certificate, clock: Clock): void {
  const { validFrom, validTo } = certificate;
  const now = clock.wall();
  if (Date.parse(validTo) <= now) throw wrong(`${option}: ${nameOf(certificate)} has expired on ${validTo}`);
  if (Date.parse(validFrom) > now)
    throw wrong(`${option}: ${nameOf(certificate)} is not valid before ${validFrom}`);
}

const nameOf = ({ subject }: X509Certificate): string => `the certificate ${subject.replaceAll("\n", ", ")}`;

const wrong = (what: string, cause?: unknown): TonetapError =>
  new TonetapError("invalid-argument", `service.${what}`, cause === undefined ? {} : { cause });

/** Changes with any of the files. */
async function versionOf({ tlsCertFile, tlsKeyFile, tlsClientCaFile }: Config["service"]): Promise<string> {
  const files = [tlsCertFile, tlsKeyFile, tlsClientCaFile].filter((path) => path !== "");
  const versions = files.map(async (path) => {
    const found = await stat(path).catch(() => undefined);
    return found === undefined ? "none" : `${found.mtimeMs} ${found.size} ${found.ino}`;
  });
  return (await Promise.all(versions)).join(", ");
}
