/** WHIP as the service configures it: tokens, TURN credentials, refusals of one shape with the REST routes. */
import { createHmac } from "node:crypto";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Service } from "../../src/service.ts";
import { createPublisher } from "../transport/werift/whip-peer.ts";
import { fresh, PATIENT_MODEL } from "./support.ts";

const TOKEN = "publisher-0123456789";

describe("WHIP of the service", () => {
  let service: Service;
  let offer: string;

  beforeAll(async () => {
    service = await Service.open({
      service: { port: 0 },
      model: PATIENT_MODEL,
      whip: {
        tokens: [TOKEN],
        iceServers: ["turn:127.0.0.1:9"],
        turnSecret: "north",
        turnTtlS: 600,
      },
    });
    const publisher = await createPublisher();
    offer = publisher.offer;
    await publisher.close();
  });
  afterAll(() => service.close());

  const post = (path: string, body: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(new URL(path, service.url), {
      method: "POST",
      headers: { "content-type": "application/sdp", ...headers },
      body,
    });
  const authorization = `Bearer ${TOKEN}`;

  test("takes 1 of 2 publishers by token, and gives it TURN credentials for 600 s", async () => {
    const path = `/whip?call=${fresh("c")}&participant=p`;
    const stranger = await post(path, offer);
    const before = Math.floor(Date.now() / 1000);
    const publisher = await post(path, offer, { authorization });

    expect([stranger.status, stranger.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
    expect(publisher.status).toBe(201);
    const link = publisher.headers.get("link") ?? "";
    const [, username = "", credential] = /username="(\d+)"; credential="([^"]+)"/.exec(link) ?? [];
    expect(link).toContain('<turn:127.0.0.1:9>; rel="ice-server"; username=');
    expect(Number(username) - before - 600).toBeLessThanOrEqual(5);
    expect(credential).toBe(createHmac("sha1", "north").update(username).digest("base64"));
    const session = new URL(publisher.headers.get("location") ?? "", service.url);
    expect((await fetch(session, { method: "DELETE" })).status).toBe(401);
    expect((await fetch(session, { method: "DELETE", headers: { authorization } })).status).toBe(200);
  });

  test("refuses over WHIP as over REST: 7 refusals are problem documents of the same 5 members", async () => {
    const refusals = await Promise.all([
      post("/v1/rtp", "{}"),
      post("/v1/nowhere", ""),
      post("/whip", offer),
      post("/whip", "hello", { authorization }),
      post("/whip?role=agent", offer, { authorization }),
      post("/whip", "x".repeat(64 * 1024 + 1), { authorization }),
      fetch(new URL("/whip/none", service.url), { method: "DELETE", headers: { authorization } }),
    ]);

    expect(refusals.map(({ status }) => status)).toEqual([400, 405, 401, 400, 403, 413, 404]);
    for (const response of refusals) {
      expect(response.headers.get("content-type")).toBe("application/problem+json");
      const problem = (await response.json()) as Record<string, unknown>;
      expect(Object.keys(problem)).toEqual(["type", "title", "status", "detail", "code"]);
      expect(problem).toMatchObject({ type: `urn:tonetap:error:${problem.code}`, status: response.status });
    }
  });

  test("a token's role goes before the query's: its agent is refused with 403 by the policy, whatever 1 page says", async () => {
    const jwtSecret = "0123456789abcdef0123456789abcdef";
    await using own = await Service.open({
      service: { port: 0 },
      model: PATIENT_MODEL,
      auth: { jwtSecret },
    });
    const token = (tonetap: object) =>
      new SignJWT({ sub: "ben", aud: "tonetap", scope: "calls:write", tonetap })
        .setProtectedHeader({ alg: "HS256" })
        .setExpirationTime("5m")
        .sign(new TextEncoder().encode(jwtSecret));
    const publish = async (tonetap: object) =>
      fetch(new URL("/whip?call=desk&role=customer&consent=granted", own.url), {
        method: "POST",
        headers: { "content-type": "application/sdp", authorization: `Bearer ${await token(tonetap)}` },
        body: offer,
      });

    const agent = await publish({ role: "agent" });
    const customer = await publish({ participant: "ada", role: "customer", name: "Ada" });

    expect([agent.status, customer.status]).toEqual([403, 201]);
    expect(await agent.json()).toMatchObject({ detail: expect.stringContaining("agent") });
    const ada = own.engine.participant("desk", "ada");
    expect([ada.identity.role, ada.identity.displayName, ada.consent]).toEqual([
      "customer",
      "Ada",
      "granted",
    ]);
  });

  test("asks the program's own check instead of the list: it sees the token and the 1 query", async () => {
    const asked: [token: string | undefined, call: string | null][] = [];
    const own = await Service.open(
      { service: { port: 0 }, model: PATIENT_MODEL },
      {
        authorizeWhip: (token, { query }) => {
          asked.push([token, query.get("call")]);
          return false;
        },
      },
    );
    const response = await fetch(new URL("/whip?call=mine", own.url), {
      method: "POST",
      headers: { authorization: "Bearer abc" },
    });
    await own.close();

    expect(response.status).toBe(401);
    expect(asked).toEqual([["abc", "mine"]]);
  });

  test.each([
    [{ tokens: ["short"] }, "token 1 must be at least 16"],
    [{ iceServers: ["turn:a"] }, "turn:a needs a TURN username and credential, or a secret"],
    [
      { turnSecret: "a", turnUsername: "b", turnCredential: "c" },
      "whip.turnSecret and whip.turnUsername exclude",
    ],
    [{ turnUsername: "b" }, "whip.turnCredential and whip.turnUsername need each other"],
  ])("is refused at the start with %o, 1 option named and no secret repeated", async (whip, reason) => {
    await expect(Service.open({ service: { port: 0 }, model: PATIENT_MODEL, whip })).rejects.toThrow(reason);
  });
});
