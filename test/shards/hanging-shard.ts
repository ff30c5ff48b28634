/**
 * A process whose only shard hangs while 2 participants talk; says on stdout what became of them. Run by
 * shard-watch.test.ts, with hanging-thread.ts preloaded.
 */
import type { ShardPool } from "../../src/shards/shard-pool.ts";
import { sendImpaired } from "../engine/impaired-sender.ts";
import { attachUdp, openEngine, recordedFrames, upTo } from "../engine/support.ts";

const CLEAN = { loss: 0, duplicate: 0, reorder: 0 };
const { engine, seen } = await openEngine({
  shards: { count: 1, hangLimitMs: 4_000 },
  overload: { control: "off" },
});
const pool = engine.media as ShardPool;
const own = await engine.media.openRtp({});
await engine.attach(own, { callId: "test", participantId: "own", consent: "granted" });
const forwarded = await attachUdp(engine, "forwarded");
const ports = [own.address.port, forwarded.address.port];
const names = ["own", "forwarded"];

// Anna talks until 6.6 s; that six times over, longer than all of this takes.
const talk = upTo(await recordedFrames("anna"), 6_500);
const frames = Array.from({ length: 6 }, () => talk).flat();
for (const port of ports) void sendImpaired(frames, port, CLEAN);
for (const name of names) await seen.first("emotion", ({ data }) => data.participantId === name);

const channel = new BroadcastChannel("hang");
channel.postMessage("now");
for (const name of names)
  await seen.first("participant.recovered", ({ data }) => data.participantId === name);
const before = names.map((name) => seen.of("emotion", name).length);
channel.close();
for (const [i, name] of names.entries()) {
  await seen.first(
    "emotion",
    ({ data }) => data.participantId === name && seen.of("emotion", name).length > (before[i] ?? 0),
  );
}
const [shard] = pool.shards;
const said = {
  restarts: shard?.restarts,
  lastError: shard?.lastError,
  recovered: seen.of("participant.recovered").map(({ data }) => data.error.message),
  left: seen.of("participant.left").length,
  inOrder: names.map((name) => {
    const indexes = seen.of("emotion", name).map(({ data }) => data.index);
    return indexes.every((index, i) => i === 0 || index > (indexes[i - 1] ?? 0));
  }),
};
await engine.close();
process.stdout.write(`${JSON.stringify(said)}\n`, () => process.exit());
