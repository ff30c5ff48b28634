/** Alert rules over HTTP: alert-routes.ts. */
import { describe, expect, test } from "vitest";
import { addAlertRoutes } from "../../src/events/alert-routes.ts";
import { HttpServer } from "../../src/events/http-server.ts";
import { Conversation } from "./insight/support.ts";

const UPSET = { labels: ["angry"], above: 0.6 };

describe("alert rules over HTTP", () => {
  test("are added, replaced, shown and removed, and raise an alert that GET /v1/alerts shows: 9 answers", async () => {
    const talk = new Conversation();
    await using http = new HttpServer();
    addAlertRoutes(http, talk.hub, talk.rules);
    const url = await http.listen("127.0.0.1", 0);
    const ask = async (method: string, path: string, body?: unknown) => {
      const response = await fetch(new URL(`/v1/alerts${path}`, url), {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, body: text === "" ? undefined : JSON.parse(text) };
    };
    const rule = { id: "upset", ...UPSET, minDurationMs: 3000, clearAfterMs: 5000, coolDownMs: 30_000 };
    expect(await ask("POST", "/rules", { id: "upset", ...UPSET })).toEqual({ status: 201, body: rule });
    expect(await ask("POST", "/rules", { id: "upset", ...UPSET })).toMatchObject({ status: 409 });
    expect(await ask("POST", "/rules", { ...UPSET, id: "no", labels: ["hungry"] })).toMatchObject({
      status: 400,
    });
    expect(await ask("PUT", "/rules/upset", { ...UPSET, above: 0.7 })).toMatchObject({ status: 200 });
    expect(await ask("GET", "/rules")).toEqual({ status: 200, body: { rules: [{ ...rule, above: 0.7 }] } });
    talk.join("ada").says({ angry: 0.8 }, 4000);
    const { body } = await ask("GET", "");
    expect(body.alerts).toEqual([talk.of("alert.raised")[0]?.data]);
    expect(await ask("DELETE", "/rules/upset")).toEqual({ status: 204, body: undefined });
    expect(await ask("GET", "/rules/upset")).toMatchObject({ status: 404 });
    expect((await ask("GET", "")).body).toEqual({ alerts: [] });
  });
});
