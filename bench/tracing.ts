/**
 * What tracing costs an emotion event: the hub's publishing without it, with it and no SDK in the process, and with an SDK
 * that keeps spans, in turns in one process, in CPU time. Run by `node bench/tracing.ts`; prints a table, then one line of
 * JSON.
 */
import { setImmediate } from "node:timers/promises";
import { type Span, type Tracer, trace } from "@opentelemetry/api";
import { EventHub, eventExamples, type TonetapEvent } from "../src/events/index.ts";
import { traceWindows } from "../src/observability/index.ts";
import { benchArguments } from "./arguments.ts";
import { TRACING } from "./benches.ts";
import { median } from "./live/statistics.ts";

const ROUNDS = 31;
const WARM_UP_ROUNDS = 5;
const EVENTS_A_ROUND = 100_000;
/** A window in the model (README: tonetap-small), µs: what an emotion event costs at least. */
const WINDOW_US = 245;

interface Contender {
  readonly name: string;
  /** Every how many windows gets spans; 0: no tracing. */
  readonly every: number;
  readonly sdk: boolean;
}

const CONTENDERS: readonly Contender[] = [
  { name: "tracing.sampleEvery 0: off", every: 0, sdk: false },
  { name: "every 100th window, no SDK", every: 100, sdk: false },
  { name: "every window, no SDK", every: 1, sdk: false },
  { name: "every 100th window, an SDK that drops spans", every: 100, sdk: true },
];

/** The least SDK: makes nothing of what it is told, so that what is measured is ours. */
function register(): void {
  const span = {
    ...trace.wrapSpanContext({ traceId: "1".repeat(32), spanId: "1".repeat(16), traceFlags: 1 }),
  };
  const tracer = {
    startSpan: () => ({ ...span, end: () => undefined }) as unknown as Span,
  } as unknown as Tracer;
  trace.setGlobalTracerProvider({ getTracer: () => tracer });
}

/** @returns CPU time of an event, ns */
async function round({ every, sdk }: Contender, event: TonetapEvent): Promise<number> {
  if (sdk) register();
  const hub = new EventHub({ epoch: "bench", replay: { maxAgeMs: 0, maxBytes: 2 ** 20 } });
  let heard = 0;
  hub.events$.subscribe(() => heard++);
  const tracing = every > 0 ? traceWindows({ hub }, every) : undefined;
  const before = process.cpuUsage();
  for (let i = 0; i < EVENTS_A_ROUND; i++) hub.publish(event);
  const { user, system } = process.cpuUsage(before);
  await tracing?.close();
  await hub.close();
  if (sdk) trace.disable();
  if (heard !== EVENTS_A_ROUND) throw new RangeError(`heard ${heard} of ${EVENTS_A_ROUND} events`);
  return ((user + system) * 1000) / EVENTS_A_ROUND;
}

benchArguments(TRACING);
const event = eventExamples().emotion as TonetapEvent;
const taken = CONTENDERS.map((): number[] => []);
for (let i = 0; i < WARM_UP_ROUNDS + ROUNDS; i++) {
  for (const [index, contender] of CONTENDERS.entries()) {
    const ns = await round(contender, event);
    if (i >= WARM_UP_ROUNDS) taken[index]?.push(ns);
    await setImmediate();
  }
}

const medians = taken.map(median);
const [off = 0] = medians;
console.log(`ns of CPU an emotion event, median of ${ROUNDS} rounds of ${EVENTS_A_ROUND}, in turns`);
for (const [index, { name }] of CONTENDERS.entries()) {
  const ns = medians[index] ?? 0;
  const extra = ns - off;
  const share = `${((extra / (WINDOW_US * 1000)) * 100).toFixed(4)} % of a window in the model`;
  console.log(
    `  ${name.padEnd(46)}${ns.toFixed(0).padStart(6)}   ${extra >= 0 ? "+" : ""}${extra.toFixed(1)} (${share})`,
  );
}
console.log(
  JSON.stringify({
    bench: "tracing",
    node: process.version,
    ns: Object.fromEntries(CONTENDERS.map(({ name }, index) => [name, Number(medians[index]?.toFixed(1))])),
  }),
);
