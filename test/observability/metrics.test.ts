import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EventFactory, EventHub, type TonetapEvent } from "../../src/events/index.ts";
import type { MediaHost } from "../../src/media-host.ts";
import { ServiceMetrics } from "../../src/observability/index.ts";
import { Service } from "../../src/service.ts";
import { sendImpaired } from "../engine/impaired-sender.ts";
import { attachUdp, PATIENT_MODEL, recordedFrames, upTo } from "../engine/support.ts";

const CLEAN = { loss: 0, duplicate: 0, reorder: 0 };

/** `name{label="x"}` → value, of all samples. */
function samplesOf(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.split(" ").at(-1))]));
}

describe("GET /metrics", () => {
  let service: Service;
  const scrape = async (): Promise<string> => (await fetch(new URL("metrics", service.url))).text();

  beforeAll(async () => {
    service = await Service.open({
      service: { port: 0 },
      model: PATIENT_MODEL,
      events: { qualityMs: 500 },
    });
  });
  afterAll(() => service.close());

  test("counts 1 voice's packets, windows, latency and batches, and names neither call nor voice", async () => {
    const source = await attachUdp(service.engine, "secret-voice", { callId: "secret-call" });
    const frames = upTo(await recordedFrames("anna"), 5_000);
    await sendImpaired(frames, source.address.port, CLEAN);
    const live = samplesOf(await scrape());
    expect(live.get("tonetap_calls")).toBe(1);
    expect(live.get('tonetap_participants{transport="rtp"}')).toBe(1);

    await source.close();
    await expect.poll(async () => samplesOf(await scrape()).get("tonetap_calls")).toBe(0);
    const text = await scrape();
    const samples = samplesOf(text);
    expect(text).not.toContain("secret");
    expect(samples.get('tonetap_participants{transport="rtp"}')).toBe(0);
    expect(samples.get('tonetap_participants_left_total{transport="rtp",reason="left"}')).toBe(1);
    expect(samples.get('tonetap_packets_total{transport="rtp",outcome="received"}')).toBe(frames.length);

    const judged = ["emitted", "abstained"]
      .map((outcome) => samples.get(`tonetap_windows_total{transport="rtp",outcome="${outcome}"}`) ?? 0)
      .reduce((sum, count) => sum + count);
    expect(judged).toBeGreaterThan(0);
    expect(samples.get('tonetap_window_latency_seconds_count{transport="rtp"}')).toBe(judged);
    expect(samples.get('tonetap_window_latency_seconds_bucket{le="+Inf",transport="rtp"}')).toBe(judged);
    // One voice: every batch was of one window.
    expect(samples.get('tonetap_batch_size_windows_bucket{le="1"}')).toBe(judged);
    expect(samples.get("tonetap_batch_size_windows_sum")).toBe(judged);
    expect(samples.get('tonetap_windows_dropped_total{reason="overload"}')).toBe(0);
    expect(samples.get('tonetap_overload_step{step="none"}')).toBe(1);
    expect(samples.get('tonetap_overload_step{step="refuse"}')).toBe(0);
    const up = [...samples].filter(([name]) => name.startsWith("tonetap_backend_up{"));
    expect(up).toHaveLength(1);
    expect(up[0]?.[1]).toBe(1);
    expect(samples.get("process_resident_memory_bytes")).toBeGreaterThan(1e7);
  });

  test("every one of its metrics has help, a type, and a name by the conventions of Prometheus", async () => {
    const text = await scrape();
    const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = "", type = ""]) => ({
      name,
      type,
    }));
    expect(types.length).toBeGreaterThan(20);
    for (const { name, type } of types) {
      expect(text).toContain(`# HELP ${name} `);
      expect(name).toMatch(/^(tonetap|process|nodejs)_[a-z0-9_]+$/);
      expect(name.endsWith("_total"), name).toBe(type === "counter");
      expect(name).not.toMatch(/_(ms|milliseconds|mb)(_|$)/);
    }
  });

  test("40 kinds of sources of users' own get 32 series and `other`; 1 shard has its own", async () => {
    const hub = new EventHub();
    const { clock, models, load } = service.engine;
    const factory = new EventFactory({ instance: "test", clock });
    const shard = {
      up: true,
      participants: 12,
      utilization: 0.25,
      droppedPackets: 3,
      restarts: 1,
      lastError: "",
    };
    const media = { shards: [shard] } as unknown as MediaHost;
    const metrics = new ServiceMetrics({ hub, models, media, load });
    for (let i = 0; i < 40; i++) {
      hub.publish(
        factory.create("participant.joined", {
          callId: "c",
          participantId: `p${i}`,
          role: "guest",
          consent: "granted",
          paused: false,
          transport: `kind-${i}`,
        }) as TonetapEvent,
      );
    }
    const { text } = await metrics.scrape();
    const series = [...samplesOf(text)].filter(([name]) => name.startsWith("tonetap_participants{"));
    expect(series).toHaveLength(33);
    expect(Object.fromEntries(series)['tonetap_participants{transport="other"}']).toBe(8);
    const all = Object.fromEntries(samplesOf(text));
    expect(all['tonetap_shard_utilization_ratio{shard="0"}']).toBe(0.25);
    expect(all['tonetap_shard_restarts_total{shard="0"}']).toBe(1);
    await metrics.close();
    await hub.close();
  });
});
