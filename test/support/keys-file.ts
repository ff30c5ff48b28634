/** A file of fresh API keys, for services that ask for one. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKey } from "../../src/access/index.ts";

export interface KeysFile<Who extends string> extends AsyncDisposable {
  readonly path: string;
  /** What its holder sends. */
  readonly keys: ReadonlyMap<Who, string>;
}

/** @param grants what each holder may do, as the file has it: `scopes: [admin], tenant: acme` */
export async function writeKeysFile<Who extends string>(
  grants: Readonly<Record<Who, string>>,
): Promise<KeysFile<Who>> {
  const folder = await mkdtemp(join(tmpdir(), "tonetap-keys-"));
  const path = join(folder, "keys.yaml");
  const keys = new Map<Who, string>();
  const lines = (Object.entries(grants) as [Who, string][]).map(([id, grant]) => {
    const { key, hash } = createKey(id);
    keys.set(id, key);
    return `  - {id: ${id}, hash: "${hash}", ${grant}}\n`;
  });
  await writeFile(path, `keys:\n${lines.join("")}`);
  return { path, keys, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}
