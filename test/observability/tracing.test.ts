import { context, type Span, type SpanOptions, type Tracer, trace } from "@opentelemetry/api";
import { afterEach, expect, test } from "vitest";
import { EventHub, type EventOf, eventExamples, type TonetapEvent } from "../../src/events/index.ts";
import { traceWindows } from "../../src/observability/index.ts";

interface Recorded {
  readonly name: string;
  readonly options: SpanOptions;
  readonly parent: Span | undefined;
  endMs?: number;
}

/** The least SDK: keeps what it is told. */
function registerRecorder(): Recorded[] {
  const spans: Recorded[] = [];
  const startSpan: Tracer["startSpan"] = (name, options = {}, within = context.active()) => {
    const recorded: Recorded = { name, options, parent: trace.getSpan(within) };
    spans.push(recorded);
    return {
      ...trace.wrapSpanContext({ traceId: "1".repeat(32), spanId: "1".repeat(16), traceFlags: 1 }),
      end: (at?: number) => {
        recorded.endMs = at ?? Number.NaN;
      },
    } as unknown as Span;
  };
  trace.setGlobalTracerProvider({ getTracer: () => ({ startSpan }) as Tracer });
  return spans;
}

const emotion = Object.values(eventExamples()).find(
  (event) => event.type === "tonetap.emotion",
) as EventOf<"emotion">;

afterEach(() => trace.disable());

test("1 window of 3 gets a span from packet to event, with 3 parts that follow each other", () => {
  const spans = registerRecorder();
  const hub = new EventHub();
  traceWindows({ hub }, 3);
  for (let i = 0; i < 3; i++) hub.publish(emotion as TonetapEvent);

  expect(spans.map(({ name }) => name)).toEqual([
    "tonetap.window",
    "tonetap.audio",
    "tonetap.queue",
    "tonetap.inference",
  ]);
  const [window, audio, queue, inference] = spans;
  const { totalMs, queuedMs, inferenceMs } = emotion.data.latency;
  const startMs = Date.parse(emotion.time) - totalMs;
  expect(window?.options.startTime).toBeCloseTo(startMs, 3);
  expect(window?.endMs).toBe(Date.parse(emotion.time));
  expect(audio?.options.startTime).toBeCloseTo(startMs, 3);
  expect(queue?.options.startTime).toBe(audio?.endMs);
  expect((queue?.endMs ?? 0) - Number(queue?.options.startTime)).toBeCloseTo(queuedMs, 3);
  expect((inference?.endMs ?? 0) - Number(inference?.options.startTime)).toBeCloseTo(inferenceMs, 3);
  expect(window?.parent).toBeUndefined();
  expect(inference?.parent).toBeDefined();
  expect(JSON.stringify(window?.options.attributes)).not.toContain("angry");
  expect(window?.options.attributes).toMatchObject({ "tonetap.call.id": "support-4711" });
});

test("0 spans are made without an SDK, and 1 as soon as one registers", () => {
  const hub = new EventHub();
  traceWindows({ hub }, 1);
  hub.publish(emotion as TonetapEvent);
  const spans = registerRecorder();
  hub.publish(emotion as TonetapEvent);
  expect(spans.filter(({ name }) => name === "tonetap.window")).toHaveLength(1);
});
