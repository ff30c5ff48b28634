/** `GET /metrics`, for Prometheus. */
import type { HttpServer } from "../events/index.ts";
import type { ServiceMetrics } from "./metrics.ts";

export function addMetricsRoute(http: HttpServer, metrics: ServiceMetrics): void {
  http.route("GET", "/metrics", async () => {
    const { contentType, text } = await metrics.scrape();
    return { headers: { "content-type": contentType, "cache-control": "no-store" }, body: text };
  });
}
