/** `GET /metrics`, for Prometheus. */
import { z } from "zod";
import { type HttpServer, operation } from "../events/index.ts";
import type { ServiceMetrics } from "./metrics.ts";

export const scrapeMetrics = operation({
  id: "scrapeMetrics",
  tag: "service",
  method: "GET",
  path: "/metrics",
  access: "metrics:read",
  summary: "Metrics, for Prometheus",
  answers: {
    200: { meaning: "docs/observability.md names them.", contentType: "text/plain", schema: z.string() },
  },
});

export function addMetricsRoute(http: HttpServer, metrics: ServiceMetrics): void {
  http.serve(scrapeMetrics, async () => {
    const { contentType, text } = await metrics.scrape();
    return { headers: { "content-type": contentType, "cache-control": "no-store" }, body: text };
  });
}
