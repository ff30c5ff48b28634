/// <reference lib="dom" />
/** Frame times of the page in Chromium: 50 participants who all talk, in ten rooms and in one call, two judgements a second each. */
import type { Page } from "playwright-core";
import { EventFactory, type TonetapEvent } from "../src/events/index.ts";
import { Service } from "../src/service.ts";
import { launchChromium } from "../test/support/chromium.ts";
import { benchArguments } from "./arguments.ts";
import { PAGE } from "./benches.ts";

const PARTICIPANTS = 50;
const HOP_MS = 500;
const WARM_UP_MS = 6_000;
const MEASURED_MS = 15_000;

interface Figures {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly lateShare: number;
  /** Tasks of more than 50 ms (Long Tasks API), and the longest, ms. */
  readonly longTasks: number;
  readonly longestTaskMs: number;
  /** Of the page's own thread, 0–1. */
  readonly busy: number;
}

/** Events as the service would make them; audio would only take processor time from the page. */
function talk(service: Service, roomOf: (participant: number) => string): () => void {
  const { hub, clock, manifest } = service.engine;
  const factory = new EventFactory({ instance: "bench", clock });
  const publish = (kind: Parameters<typeof factory.create>[0], data: object): void => {
    hub.publish(factory.create(kind, data as never) as TonetapEvent);
  };
  const ids = Array.from({ length: PARTICIPANTS }, (_, i) => ({
    callId: roomOf(i),
    participantId: `voice-${i}`,
    role: "guest",
  }));
  for (const callId of new Set(ids.map((id) => id.callId))) publish("call.started", { callId });
  const wall = (ms: number): string => new Date(ms).toISOString();
  for (const id of ids) {
    publish("participant.joined", { ...id, consent: "granted", paused: false, transport: "rtp" });
    publish("speech.started", { ...id, mediaMs: 0, wall: { at: wall(Date.now()), source: "arrival" } });
  }
  let index = 0;
  const timers = ids.map((id, i) =>
    setTimeout(
      () => {
        timers[i] = setInterval(() => {
          index++;
          const weights = manifest.labels.map((_, label) => 1 + Math.sin(index / 90 + i + label) ** 4 * 8);
          const sum = weights.reduce((total, weight) => total + weight);
          const scores = Object.fromEntries(
            manifest.labels.map((label, at) => [label, (weights[at] ?? 0) / sum]),
          );
          const [top = "neutral"] = Object.keys(scores).sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0));
          const now = Date.now();
          publish("emotion", {
            ...id,
            index,
            top,
            confidence: scores[top],
            abstained: index % 9 === 0,
            scores,
            valence: 0,
            arousal: 0,
            media: { startMs: 0, endMs: 3000 },
            wall: { start: wall(now - 3000), end: wall(now), source: "arrival" },
            speechShare: 1,
            lossShare: 0,
            model: service.engine.models.id,
            latency: { totalMs: 8, queuedMs: 4, inferenceMs: 1 },
            batchSize: 8,
          });
        }, HOP_MS);
      },
      (i * HOP_MS) / PARTICIPANTS,
    ),
  );
  return () => {
    for (const timer of timers) clearInterval(timer);
  };
}

async function measure(page: Page): Promise<Figures> {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  const taskSeconds = async (): Promise<number> => {
    const { metrics } = await session.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "TaskDuration")?.value ?? Number.NaN;
  };
  await page.waitForTimeout(WARM_UP_MS);
  const before = await taskSeconds();
  const { frames: times, tasks } = await page.evaluate(
    (ms) =>
      new Promise<{ frames: number[]; tasks: number[] }>((resolve) => {
        const frames: number[] = [];
        const tasks: number[] = [];
        new PerformanceObserver((list) => {
          for (const { duration } of list.getEntries()) tasks.push(duration);
        }).observe({ type: "longtask" });
        const begun = performance.now();
        const frame = (at: number): void => {
          frames.push(at);
          if (at - begun < ms) requestAnimationFrame(frame);
          else resolve({ frames, tasks });
        };
        requestAnimationFrame(frame);
      }),
    MEASURED_MS,
  );
  const busy = ((await taskSeconds()) - before) / (MEASURED_MS / 1000);
  const intervals = times.slice(1).map((at, i) => at - (times[i] ?? 0));
  const sorted = intervals.toSorted((a, b) => a - b);
  const quantile = (q: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
  // Two frames of a 60 Hz screen, less a little.
  const late = intervals.filter((interval) => interval > 30).length;
  return {
    p50: quantile(0.5),
    p95: quantile(0.95),
    p99: quantile(0.99),
    lateShare: late / intervals.length,
    longTasks: tasks.length,
    longestTaskMs: Math.max(0, ...tasks),
    busy,
  };
}

benchArguments(PAGE);
const browser = await launchChromium();
try {
  for (const [name, roomOf, address] of [
    ["ten rooms of five", (i: number) => `room-${i % 10}`, "#/"],
    ["one call of fifty", () => "conference", "#/call/conference"],
  ] as const) {
    await using service = await Service.open({ service: { port: 0 }, model: { device: "cpu" } });
    const hush = talk(service, roomOf);
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    await page.goto(new URL(address, service.url).href);
    const { p50, p95, p99, lateShare, longTasks, longestTaskMs, busy } = await measure(page);
    const ms = (value: number): string => `${value.toFixed(1)} ms`;
    console.log(
      `${name}: frame ${ms(p50)} (p95 ${ms(p95)}, p99 ${ms(p99)}), ${(lateShare * 100).toFixed(1)} % over 30 ms, ${longTasks} tasks over 50 ms (longest ${ms(longestTaskMs)}), the page's thread busy ${(busy * 100).toFixed(0)} %`,
    );
    hush();
    await page.close();
  }
} finally {
  await browser.close();
}
