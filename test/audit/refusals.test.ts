import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { createKey } from "../../src/access/index.ts";
import { Refusals, verifyAuditLog } from "../../src/audit/index.ts";
import { TonetapError } from "../../src/core/errors.ts";
import { Service } from "../../src/service.ts";
import { audioSocketFrame, FRAME } from "../../src/transport/audiosocket/audiosocket-framer.ts";
import { TINY_MODEL_DIR } from "../inference/fixtures.ts";
import { writeKeysFile } from "../support/keys-file.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { offer } from "../transport/sip/messages.ts";
import { Phone } from "../transport/sip/phone.ts";

const policy = new TonetapError("policy", "the role is refused");
const stranger = new TonetapError("unauthenticated", "the key is not valid here");

function open() {
  const clock = new ManualClock();
  const records: Readonly<Record<string, unknown>>[] = [];
  const log = {
    append: (type: string, data: Readonly<Record<string, unknown>>) => void records.push({ type, ...data }),
  };
  return { clock, records, refusals: new Refusals(log, clock) };
}

/** What a log says of who was turned away. */
async function refusalsIn(file: string) {
  const text = await readFile(file, "utf8");
  const records = text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  return { text, refused: records.filter(({ type }) => type === "access.refused") };
}

describe("refusals in the audit log", () => {
  test("10,000 of 1 source in a minute are 2 records: the first at once, the others as a count by door and code", async () => {
    const { clock, records, refusals } = open();
    for (let n = 0; n < 10_000; n++) {
      refusals.add({
        source: "192.0.2.7",
        door: n < 9_000 ? "http" : "events",
        error: n < 5_000 ? stranger : policy,
      });
    }
    expect(records).toEqual([
      {
        type: "access.refused",
        source: "192.0.2.7",
        count: 1,
        refused: { "http unauthenticated": 1 },
        reason: "the key is not valid here",
      },
    ]);
    await clock.advance(60_000);
    expect(records[1]).toMatchObject({
      count: 9_999,
      refused: { "http unauthenticated": 4_999, "http policy": 4_000, "events policy": 1_000 },
      reason: "the role is refused",
    });
    // A source that goes on has 1 record a minute; one that was still for a minute is new again.
    refusals.add({ source: "192.0.2.7", door: "http", error: policy });
    expect(records).toHaveLength(2);
    await clock.advance(60_000);
    expect(records[2]).toMatchObject({ count: 1 });
    await clock.advance(60_000);
    refusals.add({ source: "192.0.2.7", door: "http", error: policy });
    expect(records).toHaveLength(4);
  });

  test("50,000 sources of a flood are 1,001 records in a minute, IPv6 ones counted by their 64 bits", async () => {
    const { clock, records, refusals } = open();
    for (let n = 0; n < 500; n++)
      refusals.add({ source: `2001:db8::${n.toString(16)}`, door: "http", error: stranger });
    expect(records.map(({ source }) => source)).toEqual(["2001:db8:0:0::/64"]);
    for (let n = 0; n < 50_000; n++) {
      refusals.add({ source: `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`, door: "http", error: stranger });
    }
    expect(records).toHaveLength(1_001);
    expect(records.at(-1)).toMatchObject({ source: "others", count: 1 });
    await clock.advance(60_000);
    const later = records.slice(1_001);
    expect(later.map(({ source, count }) => [source, count])).toEqual([
      ["2001:db8:0:0::/64", 499],
      ["others", 50_000 - 999 - 1],
    ]);
  });

  test("leave out 5 codes that are no matter of who asks, cut long reasons at 200, and are told at the end", async () => {
    const { records, refusals } = open();
    for (const code of ["invalid-argument", "not-found", "conflict", "internal", "closed"] as const) {
      refusals.add({ source: "192.0.2.7", door: "http", error: new TonetapError(code, "x") });
    }
    expect(records).toEqual([]);
    const long = new TonetapError("policy", "x".repeat(5_000));
    refusals.add({ source: "::ffff:192.0.2.7", door: "media", error: long });
    refusals.add({ source: undefined, door: "sip", error: policy });
    refusals.add({ source: undefined, door: "sip", error: policy });
    await refusals.close();
    expect(records.map(({ source, count }) => [source, count])).toEqual([
      ["192.0.2.7", 1],
      ["unknown", 1],
      ["unknown", 1],
    ]);
    expect(records[0]?.reason).toHaveLength(200);
  });

  test("of a running service: a wrong key, a right that lacks, a role, another tenant, a WebSocket; chained, no secret in it", async () => {
    const folder = await mkdtemp(join(tmpdir(), "tonetap-refusals-"));
    const file = join(folder, "audit.jsonl");
    await using keysFile = await writeKeysFile({ acme: "scopes: [events:read, calls:write], tenant: acme" });
    const right = keysFile.keys.get("acme") ?? "";
    const service = await Service.open({
      service: { port: 0 },
      model: { device: "cpu", package: TINY_MODEL_DIR },
      auth: { keysFile: keysFile.path },
      audit: { file },
    });
    const wrong = createKey("acme").key;
    const post = (path: string, key: string, json: unknown) =>
      fetch(new URL(path, service.url), {
        method: "POST",
        headers: { authorization: `Bearer ${key}` },
        body: JSON.stringify(json),
      });
    const who = { callId: "c", participantId: "p" };
    expect((await post("/v1/rtp", wrong, who)).status).toBe(401);
    expect((await post("/v1/alerts/rules", right, {})).status).toBe(403);
    expect((await post("/v1/rtp", right, { ...who, role: "agent" })).status).toBe(403);
    expect((await post("/v1/rtp", right, { ...who, tenant: "beta" })).status).toBe(403);
    expect((await post("/v1/rtp", right, { callId: "" })).status).toBe(400);
    for (const path of ["/v1/events", "/v1/media/jitsi"]) {
      const socket = new WebSocket(new URL(path, service.url.href.replace("http", "ws")));
      await once(socket, "error");
    }
    await service.close();

    const { text, refused } = await refusalsIn(file);
    expect(refused.map(({ data }) => data.refused)).toEqual([
      { "http unauthenticated": 1 },
      { "http policy": 3, "events unauthenticated": 1, "media unauthenticated": 1 },
    ]);
    expect(refused[0].data.source).toBe("127.0.0.1");
    expect(text).not.toContain(wrong.slice(8, 30));
    expect((await verifyAuditLog(file)).records).toBe(text.trimEnd().split("\n").length);
    await rm(folder, { recursive: true });
  });

  test("of SIP and AudioSocket: a stranger's host, 2 wrong passwords, a role; a first INVITE that is asked who it is, is none", async () => {
    const folder = await mkdtemp(join(tmpdir(), "tonetap-refusals-"));
    const file = join(folder, "audit.jsonl");
    const usersFile = join(folder, "users");
    await writeFile(usersFile, "anna:s3cret\n");
    const service = await Service.open({
      service: { port: 0 },
      model: { device: "cpu", package: TINY_MODEL_DIR },
      sip: { transports: ["udp"], port: 0, usersFile, allowedPeers: ["127.0.0.2"] },
      audioSocket: { listen: "tcp", port: 0, defaultRole: "agent" },
      audit: { file },
    });
    const sip = service.sip?.addresses.get("udp") ?? expect.unreachable("no SIP");
    await using stranger = await Phone.udp(sip);
    await using known = await Phone.udp(sip, "127.0.0.2");
    expect((await stranger.ask("INVITE", { body: offer() })).status).toBe(403);
    expect((await known.ask("INVITE", { body: offer() })).status).toBe(401);
    const guess =
      'Authorization: Digest username="anna", realm="tonetap", nonce="n", uri="sip:x", response="00", ' +
      'algorithm=SHA-256, qop=auth, nc=00000001, cnonce="c"';
    for (const cseq of [2, 3])
      expect((await known.ask("INVITE", { cseq, headers: [guess], body: offer() })).status).toBe(401);
    const asterisk = connect(service.audioSocket?.address.port ?? 0, "127.0.0.1");
    asterisk.resume().write(audioSocketFrame(FRAME.uuid, Buffer.alloc(16, 7)));
    await once(asterisk, "close");
    await service.close();

    const { text, refused } = await refusalsIn(file);
    expect(refused.map(({ data: { source, refused: what } }) => [source, what])).toEqual([
      ["127.0.0.1", { "sip policy": 1 }],
      ["127.0.0.2", { "sip unauthenticated": 1 }],
      ["127.0.0.1", { "audiosocket policy": 1 }],
      ["127.0.0.2", { "sip unauthenticated": 1 }],
    ]);
    expect(refused[1].data.reason).toBe("the credentials are wrong");
    expect(text).not.toContain("anna");
    await rm(folder, { recursive: true });
  });
});
