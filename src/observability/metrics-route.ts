/** `GET /metrics`, for Prometheus. */
import type { HttpHandler, HttpServer } from "../events/index.ts";
import type { ServiceMetrics } from "./metrics.ts";

export function addMetricsRoute(http: HttpServer, metrics: ServiceMetrics): void {
  const scrape: HttpHandler = async () => {
    const { contentType, text } = await metrics.scrape();
    return { headers: { "content-type": contentType, "cache-control": "no-store" }, body: text };
  };
  http.route("GET", "/metrics", scrape, { access: "metrics:read" });
}
