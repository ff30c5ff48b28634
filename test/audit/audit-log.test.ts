import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AuditLog, verifyAuditLog } from "../../src/audit/index.ts";
import { ManualClock } from "../support/manual-clock.ts";

let folder: string;
let files = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tonetap-audit-"));
});
afterAll(() => rm(folder, { recursive: true }));
const fresh = (): string => join(folder, `audit-${++files}.jsonl`);

async function written(count: number): Promise<string> {
  const path = fresh();
  await using log = await AuditLog.open(path, { clock: new ManualClock() });
  for (let n = 0; n < count; n++) log.append("participant.consent", { callId: "c", n });
  return path;
}
const linesOf = async (path: string): Promise<string[]> =>
  (await readFile(path, "utf8")).trimEnd().split("\n");

describe("the audit log", () => {
  test("100 records are whole, for their owner's eyes only; 5 more after a restart follow them", async () => {
    const path = await written(100);
    expect(await verifyAuditLog(path)).toMatchObject({ records: 100, torn: 0 });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const log = await AuditLog.open(path);
    for (let n = 0; n < 5; n++) log.append("service.started", {});
    await log.flush();
    expect((await verifyAuditLog(path)).records).toBe(105);
    await log.close();
    await log.close();
    log.append("service.started", {});
    expect((await verifyAuditLog(path)).records).toBe(105);
  });

  test("5 ways to change it are found, with the line; the service does not go on with a broken one", async () => {
    const path = await written(10);
    const lines = await linesOf(path);
    const [a = "", b = "", c = "", ...rest] = lines;
    const ways: [string[], string][] = [
      [[a, b.replace('"n":1', '"n":7'), c, ...rest], "line 2 is no record, or was changed"],
      [[a, c, ...rest], "line 2 does not follow the one before"],
      [[b, a, c, ...rest], "line 1 does not follow the one before"],
      [[a, b, b, c, ...rest], "line 3 does not follow the one before"],
      [[a, "", b, c, ...rest], "line 2 is no record"],
    ];
    for (const [changed, message] of ways) {
      await writeFile(path, `${changed.join("\n")}\n`);
      await expect(verifyAuditLog(path)).rejects.toThrow(message);
      await expect(AuditLog.open(path)).rejects.toMatchObject({ code: "conflict" });
    }
  });

  test("an end cut off shows in the hash of the last record, which was noted before", async () => {
    const path = await written(10);
    const { hash } = await verifyAuditLog(path);
    await writeFile(path, `${(await linesOf(path)).slice(0, 8).join("\n")}\n`);
    expect(await verifyAuditLog(path)).toMatchObject({ records: 8 });
    expect((await verifyAuditLog(path)).hash).not.toBe(hash);
  });

  test("a crash in the middle of a record costs that 1 record: it is named, and what follows is whole", async () => {
    const path = await written(10);
    await truncate(path, (await stat(path)).size - 20);
    await expect(verifyAuditLog(path)).rejects.toThrow("the last line is unfinished");
    const log = await AuditLog.open(path);
    log.append("participant.joined", { callId: "c" });
    await log.close();
    expect(await verifyAuditLog(path)).toMatchObject({ records: 11, torn: 1 });
    // Nobody else may leave such lines.
    await appendFile(path, "nonsense\n");
    await expect(verifyAuditLog(path)).rejects.toThrow("line 13 is no record");
  });

  test("a file that cannot be written, a device and a missing file are 3 clear errors", async () => {
    await expect(AuditLog.open("/nowhere/audit.jsonl")).rejects.toThrow(
      "audit.file must be a file that can be written",
    );
    await expect(AuditLog.open("/dev/full")).rejects.toThrow("audit.file must be a plain file");
    await expect(verifyAuditLog("/nowhere/audit.jsonl")).rejects.toMatchObject({ code: "not-found" });
  });
});
