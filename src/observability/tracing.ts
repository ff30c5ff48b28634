/**
 * OpenTelemetry spans from a window's last packet to its event, one window of many. Only the API is used: without an SDK
 * in the process nothing is sent, and nothing is made. Spans are made afterwards, from the times that an event carries.
 */
import { ProxyTracerProvider, ROOT_CONTEXT, type Tracer, trace } from "@opentelemetry/api";
import type { Closable } from "../core/lifecycle.ts";
import type { Engine } from "../engine.ts";
import type { EventOf } from "../events/index.ts";

/**
 * Spans of every `every`-th window of the service: `tonetap.window` and in it `tonetap.audio` (decoding, features),
 * `tonetap.queue`, `tonetap.inference` (the rest is smoothing and publishing). They name call, participant and model, never what was heard.
 * @param every 1: all windows.
 */
export function traceWindows({ hub }: Pick<Engine, "hub">, every: number): Closable {
  let left = 1;
  let known: Tracer | undefined;
  const subscription = hub.events$.subscribe((event) => {
    if (event.type !== "tonetap.emotion" || --left > 0) return;
    left = every;
    known ??= tracer();
    if (known !== undefined) traceWindow(known, event);
  });
  return {
    close: () => {
      subscription.unsubscribe();
      return Promise.resolve();
    },
  };
}

/** Undefined as long as no SDK has registered: the API's own tracer would make objects for nothing. */
function tracer(): Tracer | undefined {
  const provider = trace.getTracerProvider();
  if (provider instanceof ProxyTracerProvider && provider.getDelegateTracer("tonetap") === undefined) {
    return undefined;
  }
  return trace.getTracer("tonetap");
}

function traceWindow(tracer: Tracer, { data, time }: EventOf<"emotion">): void {
  const endMs = Date.parse(time);
  const { totalMs, queuedMs, inferenceMs } = data.latency;
  const audioMs = Math.max(0, totalMs - queuedMs - inferenceMs);
  const startMs = endMs - totalMs;
  const window = tracer.startSpan("tonetap.window", {
    startTime: startMs,
    attributes: {
      "tonetap.call.id": data.callId,
      "tonetap.participant.id": data.participantId,
      "tonetap.window.index": data.index,
      "tonetap.model": data.model,
      "tonetap.batch.size": data.batchSize,
    },
  });
  const parent = trace.setSpan(ROOT_CONTEXT, window);
  let atMs = startMs;
  for (const [name, ms] of [
    ["tonetap.audio", audioMs],
    ["tonetap.queue", queuedMs],
    ["tonetap.inference", inferenceMs],
  ] as const) {
    const span = tracer.startSpan(name, { startTime: atMs }, parent);
    atMs += ms;
    span.end(atMs);
  }
  window.end(endMs);
}
