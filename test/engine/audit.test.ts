import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { verifyAuditLog } from "../../src/audit/index.ts";
import { Service } from "../../src/service.ts";

test("1 participant leaves 7 records after the first: consent with who gave it, what followed, and nothing of its name or voice", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tonetap-audit-"));
  const file = join(folder, "audit.jsonl");
  const service = await Service.open({ service: { port: 0 }, model: { device: "cpu" }, audit: { file } });
  const send = (method: string, path: string, json: unknown) =>
    fetch(new URL(path, service.url), { method, body: JSON.stringify(json) });
  const who = { callId: "c", participantId: "p", role: "customer", displayName: "Ada Lovelace" };
  const { participant } = (await (await send("POST", "/v1/rtp", who)).json()) as { participant: string };
  await send("PATCH", participant, { consent: "granted" });
  await send("PATCH", participant, { consent: "withdrawn" });
  await service.close();

  const text = await readFile(file, "utf8");
  const records = text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(records.map(({ type }) => type)).toEqual([
    "service.started",
    "participant.joined",
    "participant.consent",
    "participant.resumed",
    "participant.consent",
    "participant.paused",
    "participant.discarded",
    "participant.left",
  ]);
  expect(records[0].data).toMatchObject({ policy: "eu", model: service.engine.models.id });
  expect(records[4].data).toMatchObject({ previous: "granted", consent: "withdrawn", by: "anyone" });
  expect(text).not.toMatch(/Ada|scores|valence|top/);
  expect((await verifyAuditLog(file)).records).toBe(8);
  await rm(folder, { recursive: true });
});
