/** WHIP publishers, real ones (werift) over loopback, whose connections live in a shard's thread. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readdir, readlink } from "node:fs/promises";
import { setTimeout as wait } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ConfigInput } from "../../src/config.ts";
import type { Engine } from "../../src/engine.ts";
import type { ShardPool } from "../../src/shards/shard-pool.ts";
import {
  createWhipEndpoint,
  type WhipEndpoint,
  type WhipEndpointOptions,
} from "../../src/transport/werift/index.ts";
import { openEngine, type Recorder, recordedFrames, upTo } from "../engine/support.ts";
import { ask, createPublisher, detail, LOOPBACK, type Publisher } from "../transport/werift/whip-peer.ts";

describe("a WHIP publisher on a shard", () => {
  let engine: Engine;
  let seen: Recorder;
  let endpoint: WhipEndpoint;
  let publishers: Publisher[];
  const defects: unknown[] = [];

  const open = async (config: ConfigInput = {}, options: Partial<WhipEndpointOptions> = {}) => {
    ({ engine, seen } = await openEngine({ shards: { count: 1 }, overload: { control: "off" }, ...config }));
    endpoint = createWhipEndpoint({
      ...LOOPBACK,
      openPeer: engine.media.openWhip,
      onError: (error) => defects.push(error),
      onSession: async (source, { participant }) => {
        await engine.attach(source, participant);
      },
      ...options,
    });
  };
  const join = async (): Promise<Publisher> => {
    const publisher = await createPublisher();
    publishers.push(publisher);
    return publisher;
  };
  const post = (publisher: Publisher, participant: string) =>
    ask(endpoint, "POST", "/whip", {
      body: publisher.offer,
      query: `call=test&participant=${participant}&consent=granted`,
    });
  /** Its session's path, once it is connected. */
  const publish = async (publisher: Publisher, participant: string): Promise<string> => {
    const { status, headers, body } = await post(publisher, participant);
    expect(status).toBe(201);
    await publisher.connect(body);
    return headers.location ?? "";
  };
  const pool = (): ShardPool => engine.media as ShardPool;
  const present = (): number => pool().shards.reduce((sum, { participants }) => sum + participants, 0);

  beforeEach(() => {
    publishers = [];
  });
  /** Every test ends here: whatever happened, nothing is left, and nothing was a defect. */
  afterEach(async () => {
    await endpoint.close();
    expect(endpoint.sessionCount).toBe(0);
    await expect.poll(present).toBe(0);
    expect(pool().windowsUnderWay).toBe(0);
    await engine.close();
    for (const publisher of publishers) await publisher.close();
    expect(defects).toEqual([]);
  });

  test("5 s of speech become emotions by the sender's clock; a lost packet is asked for again, noise is counted, and silence by RFC 6464 makes 0", async () => {
    await open();
    const ada = await join();
    const quiet = await join();
    await publish(ada, "ada");
    await publish(quiet, "quiet");
    const connection = ada.peer.iceTransports[0]?.connection;
    if (connection === undefined) throw new Error("the publisher has no transport");
    const send = connection.send.bind(connection);
    let drop = false;
    connection.send = async (datagram) => {
      if (!drop) await send(datagram);
    };
    const frames = upTo(await recordedFrames("anna"), 5_000);
    const start = performance.now();
    let noise = 0;
    for (const [i, { payload }] of frames.entries()) {
      const aheadMs = start + 20 * i - performance.now();
      if (aheadMs > 1) await wait(aheadMs);
      quiet.send(i, payload, { voice: false, level: 127 });
      // werift keeps what it has sent: dropped by the network, the packet comes when it is asked for again.
      drop = i === 100;
      ada.send(i, payload, { voice: true, level: 20 });
      drop = false;
      if (i % 50 !== 0) continue;
      noise++;
      // RTP by its looks, of no key.
      await send(Buffer.from([0x80, 111, ...new Uint8Array(58)]));
    }
    await expect.poll(() => seen.of("emotion", "ada").length).toBeGreaterThan(2);
    const quality = () => engine.participant("test", "ada").takeQuality();
    // What was refused is told every two seconds.
    await expect.poll(() => quality().refused, { timeout: 10_000 }).toEqual({ "srtp-not-authentic": noise });
    await expect.poll(() => quality().packets.received).toBe(frames.length);
    expect(quality().codec).toBe("audio/opus");
    await engine.participant("test", "ada").close();
    await engine.participant("test", "quiet").close();

    expect(ada.nacked).toContain(100);
    expect(seen.of("emotion", "quiet")).toEqual([]);
    const { latency, wall } = seen.of("emotion", "ada").at(-1)?.data ?? {};
    expect(wall?.source).toBe("ntp");
    expect(latency?.totalMs).toBeGreaterThan(0);
    expect(latency?.totalMs).toBeLessThan(60_000);
    expect(seen.of("participant.left").map(({ data }) => data.reason)).toEqual(["removed", "removed"]);
    await expect.poll(() => endpoint.sessionCount).toBe(0);
  });

  test("PATCH takes a candidate, refuses another session's tag, and restarts ICE: 3 answers of the shard, and packets go on", async () => {
    await open();
    const ada = await join();
    const path = await publish(ada, "ada");
    const patch = (tag: string, body: string) =>
      ask(endpoint, "PATCH", path, { headers: { "if-match": tag }, body });
    const received = () => engine.participant("test", "ada").jitterStats.received;
    const payload = Uint8Array.of(9 << 3);
    ada.send(1, payload);
    await expect.poll(received).toBe(1);

    const { fragment, take } = await ada.restartIce();
    const candidate = "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\n";
    expect((await patch("*", candidate)).status).toBe(204);
    const other = await patch('"other"', fragment);
    expect([other.status, detail(other)]).toEqual([412, "If-Match names another ICE session"]);
    const restarted = await patch("*", fragment);
    expect([restarted.status, restarted.headers.etag]).toEqual([200, expect.stringMatching(/-2"$/)]);
    await take(restarted.body);
    ada.send(2, payload);
    await expect.poll(received).toBe(2);
    const old = await patch(restarted.headers.etag ?? "", fragment.replace(/ice-pwd:.*/, "ice-pwd:x"));
    expect(old.status).toBe(400);
  });

  test("consent that is withdrawn by PUT stops the analysis in the shard: 1 event says by whom", async () => {
    await open();
    const path = await publish(await join(), "ada");

    const { status } = await ask(endpoint, "PUT", `${path}/consent`, {
      headers: { "content-type": "application/json" },
      body: '{"consent": "withdrawn"}',
    });

    expect(status).toBe(204);
    expect((await seen.first("participant.consent")).data).toMatchObject({
      consent: "withdrawn",
      by: "WHIP",
    });
  });

  test("2 DELETEs at once end it once: its port is free, the participant has left, and a third finds nothing", async () => {
    await open();
    const ada = await join();
    const { headers, body } = await post(ada, "ada");
    const path = headers.location ?? "";
    await ada.connect(body);
    const port = Number(/ 127\.0\.0\.1 (\d+) typ host/.exec(body)?.[1]);

    const both = await Promise.all([ask(endpoint, "DELETE", path), ask(endpoint, "DELETE", path)]);

    expect(both.map(({ status }) => status)).toEqual([200, 200]);
    expect((await ask(endpoint, "DELETE", path)).status).toBe(404);
    expect((await seen.first("participant.left")).data).toMatchObject({
      participantId: "ada",
      reason: "left",
    });
    await expect.poll(() => isFree(port)).toBe(true);
  });

  test.skipIf(process.platform !== "linux")(
    "whom the engine does not take is refused with 409, and the sockets of its connection in the shard are closed: as many as before",
    async () => {
      await open();
      const ada = await join();
      await publish(ada, "ada");
      const again = await join();
      const before = await socketsOpen();

      const refused = await post(again, "ada");

      expect([refused.status, endpoint.sessionCount]).toEqual([409, 1]);
      await expect.poll(socketsOpen).toBe(before);
      expect(ada.peer.connectionState).toBe("connected");
    },
  );

  test("one who posts and never connects leaves after 1 s, as inactive, and the session is gone", async () => {
    await open({}, { inactivityMs: 1_000 });
    const { headers } = await post(await join(), "ada");

    expect((await seen.first("participant.left")).data.reason).toBe("inactive");
    await expect.poll(() => endpoint.sessionCount).toBe(0);
    expect((await ask(endpoint, "DELETE", headers.location ?? "")).status).toBe(404);
  });

  test("when its shard breaks down it leaves as failed, its URL answers 404, and it publishes again in the 1 that takes its place", async () => {
    await open();
    const ada = await join();
    const path = await publish(ada, "ada");

    await pool().replace(0);

    const { reason, error } = (await seen.first("participant.left")).data;
    expect([reason, error?.code]).toEqual(["failed", "unavailable"]);
    await expect.poll(() => endpoint.sessionCount).toBe(0);
    expect((await ask(endpoint, "PATCH", path, { headers: { "if-match": "*" } })).status).toBe(404);
    const again = await join();
    await publish(again, "ada");
    again.send(1, Uint8Array.of(9 << 3));
    await expect.poll(() => engine.participant("test", "ada").jitterStats.received).toBe(1);
    await again.close();
  });

  describe("while 1 POST waits for a STUN server that says nothing", () => {
    let stun: ReturnType<typeof createSocket>;
    let asked: Promise<unknown>;
    let answer: ReturnType<typeof post>;

    beforeEach(async () => {
      stun = createSocket("udp4").bind(0, "127.0.0.1");
      await once(stun, "listening");
      asked = once(stun, "message");
      await open({}, { iceServers: [{ urls: `stun:127.0.0.1:${stun.address().port}` }] });
      answer = post(await join(), "ada");
      await asked;
    });
    afterEach(() => void stun.close());

    test("the shard breaks down: 503 says to come again in 5 s", async () => {
      await pool().replace(0);

      const { status, headers } = await answer;
      expect([status, headers["retry-after"]]).toEqual([503, "5"]);
      expect(seen.of("participant.joined")).toEqual([]);
    });

    test("the endpoint is closed: it waits for the answer, and the 1 session ends", async () => {
      await endpoint.close();

      expect((await answer).status).toBe(201);
      expect((await seen.first("participant.left")).data.participantId).toBe("ada");
    });
  });

  test("where no candidate can be gathered the shard's refusal is that of the main thread: 503, and 0 sessions", async () => {
    const nowhere = { iceUseIpv4: false, iceAdditionalHostAddresses: [] };
    await open({}, nowhere);
    const local = createWhipEndpoint({ ...LOOPBACK, ...nowhere, onSession: () => undefined });
    const { offer: body } = await join();

    const here = await ask(local, "POST", "/whip", { body });
    const there = await ask(endpoint, "POST", "/whip", { body });

    expect(there).toEqual(here);
    expect([there.status, detail(there)]).toEqual([503, expect.stringContaining("no ICE candidate")]);
    expect(endpoint.sessionCount).toBe(0);
    await local.close();
  });
});

/** Of all threads of this process. */
async function socketsOpen(): Promise<number> {
  const targets = await Promise.all(
    (await readdir("/proc/self/fd")).map((fd) =>
      readlink(`/proc/self/fd/${fd}`).catch(() => "closed meanwhile"),
    ),
  );
  return targets.filter((target) => target.startsWith("socket:")).length;
}

async function isFree(port: number): Promise<boolean> {
  const socket = createSocket("udp4").bind(port, "127.0.0.1");
  try {
    await once(socket, "listening");
    return true;
  } catch {
    return false;
  } finally {
    socket.close();
  }
}
