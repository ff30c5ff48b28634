/** Our own service passes scripts/conformance.ts, and one that does not keep to the protocol fails it. */
import { describe, expect, test } from "vitest";
import { WebSocketServer } from "ws";
import { runConformance } from "../../scripts/conformance.ts";
import { systemClock } from "../../src/core/clock.ts";
import { eventExamples } from "../../src/events/event-examples.ts";
import { EventSourceServer } from "../../src/events/event-source-server.ts";
import { startService, until } from "./support.ts";

describe("the conformance script", { concurrent: true }, () => {
  test("passes all of its 12 checks against our service", async () => {
    await using service = await startService();
    const { hub, factory } = service;
    const sources = new EventSourceServer(service.http, hub, { source: factory.source });
    const stop = systemClock.repeat(50, () =>
      hub.publish(factory.create("service.stats", eventExamples()["service.stats"].data)),
    );
    const results = [];
    for await (const result of runConformance(service.url.href)) results.push(result);
    stop();
    await sources.close();
    expect(results.filter(({ failure }) => failure !== undefined)).toEqual([]);
    expect(results).toHaveLength(12);
  });

  test("says of a server that sends 1 event and no hello what is wrong with it", async () => {
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    server.on("connection", (socket) => {
      socket.send(JSON.stringify({ ...eventExamples().emotion, specversion: "0.3" }));
    });
    await until(() => server.address() !== null);
    const { port } = server.address() as { port: number };
    const { value } = await runConformance(`ws://127.0.0.1:${port}/v1/events`).next();
    expect(value?.failure).toContain("specversion");
    for (const client of server.clients) client.terminate();
    server.close();
  });
});
