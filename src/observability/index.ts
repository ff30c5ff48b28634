/** Metrics, spans and the log of a running engine. */

export type { Observed } from "./engine-readings.ts";
export { createLog, type Logger, type LogOptions, logCalls, logDefect } from "./log.ts";
export { ServiceMetrics } from "./metrics.ts";
export { addMetricsRoute, scrapeMetrics } from "./metrics-route.ts";
export { traceWindows } from "./tracing.ts";
