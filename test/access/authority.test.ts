import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Authority, type AuthorityOptions, admitted, createKey, tokenOf } from "../../src/access/index.ts";
import { ManualClock } from "../support/manual-clock.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tonetap-access-"));
});
afterAll(() => rm(folder, { recursive: true }));

let files = 0;
async function file(text: string): Promise<string> {
  const path = join(folder, `file-${++files}`);
  await writeFile(path, text);
  return path;
}

const open = (options: Partial<AuthorityOptions>) =>
  Authority.open({
    keysFile: "",
    jwtSecret: "",
    jwksFile: "",
    jwksUrl: "",
    jwtIssuer: "",
    jwtAudience: "tonetap",
    maxRequestsPerSecond: 1_000,
    clock: new ManualClock(),
    ...options,
  });

const entry = (id: string, hash: string, more = "") =>
  `  - {id: ${id}, hash: "${hash}", scopes: [events:read]${more}}\n`;

describe("API keys", () => {
  test("1 key is known by its hash; 5 others, one with a right id, are not, and no answer repeats them", async () => {
    const { key, hash } = createKey("desk");
    const keysFile = await file(`keys:\n${entry("desk", hash, ", tenant: acme")}`);
    await using authority = await open({ keysFile });
    expect(hash).not.toContain(key.slice(8));
    expect(await authority.identify(key)).toMatchObject({ name: "key desk", tenant: "acme" });
    const wrong = [createKey("desk").key, createKey("other").key, `${key}x`, key.slice(0, -1), "nonsense"];
    for (const token of wrong) {
      const error = await authority.identify(token).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "unauthenticated" });
      expect(String(error)).not.toContain(token);
    }
    await expect(authority.identify(undefined)).rejects.toMatchObject({ code: "unauthenticated" });
  });

  test("a key taken out of the file is worth nothing 2 s later, also to who came in with it; a broken file changes nothing", async () => {
    const clock = new ManualClock();
    const [a, b] = [createKey("a"), createKey("b")];
    const keysFile = await file(`keys:\n${entry("a", a.hash)}${entry("b", b.hash)}`);
    const errors: string[] = [];
    await using authority = await open({ keysFile, clock, onError: ({ message }) => errors.push(message) });
    const inside = await authority.identify(a.key);
    await writeFile(keysFile, `keys:\n${entry("b", b.hash)}`);
    clock.advance(2_000);
    await expect.poll(() => inside.may("events:read")).toBe(false);
    await expect(authority.identify(a.key)).rejects.toMatchObject({ code: "unauthenticated" });

    await writeFile(keysFile, "keys: [");
    clock.advance(2_000);
    await expect.poll(() => errors).toEqual(["auth.keysFile is no YAML"]);
    expect(await authority.identify(b.key)).toMatchObject({ name: "key b" });
  });

  test("a key ends at its time, to the millisecond", async () => {
    const clock = new ManualClock();
    const { key, hash } = createKey("short");
    const expires = new Date(clock.wall() + 1_000).toISOString();
    await using authority = await open({
      keysFile: await file(`keys:\n${entry("short", hash, `, expires: "${expires}"`)}`),
      clock,
    });
    const caller = await authority.identify(key);
    clock.advance(999);
    expect(caller.may("events:read")).toBe(true);
    clock.advance(1);
    expect(caller.may("events:read")).toBe(false);
    await expect(authority.identify(key)).rejects.toMatchObject({ code: "unauthenticated" });
  });

  test("6 wrong files are refused with the place of the fault and without a hash", async () => {
    const { hash } = createKey("x");
    const wrong: [string, RegExp][] = [
      ["", /auth\.keysFile/],
      ["keys: 3", /keys/],
      [`keys:\n${entry("x", "sha256:12")}`, /keys\.0\.hash/],
      [`keys:\n${entry("x", hash)}${entry("x", hash)}`, /the id x stands there twice/],
      [`keys:\n${entry("x", hash, ", tenant: a~b")}`, /tenant must be/],
      [`keys:\n  - {id: x, hash: "${hash}", scopes: [everything]}`, /a scope must be one of/],
    ];
    for (const [text, message] of wrong) {
      const error = await open({ keysFile: await file(text) }).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "invalid-argument", message: expect.stringMatching(message) });
      expect(String(error)).not.toContain(hash);
    }
    await expect(open({ keysFile: "/nowhere/keys.yaml" })).rejects.toThrow(/must be a readable file/);
  });

  test("who asks 21 times at once at 2 a second is told to wait once; another key is not", async () => {
    const [a, b] = [createKey("a"), createKey("b")];
    const keysFile = await file(`keys:\n${entry("a", a.hash)}${entry("b", b.hash)}`);
    await using authority = await open({ keysFile, maxRequestsPerSecond: 2 });
    const answers = await Promise.allSettled(Array.from({ length: 21 }, () => authority.identify(a.key)));
    expect(answers.filter(({ status }) => status === "rejected").length).toBe(1);
    expect(answers.at(-1)).toMatchObject({ reason: { code: "overloaded" } });
    await authority.identify(b.key);
  });
});

describe("tokens", () => {
  const SECRET = "0123456789abcdef0123456789abcdef";
  const claims = (clock: ManualClock, more = {}) => ({
    sub: "alice",
    aud: "tonetap",
    exp: Math.floor(clock.wall() / 1000) + 60,
    scope: "openid events:read:a* calls:write",
    ...more,
  });
  const hs = (payload: Record<string, unknown>, secret = SECRET, alg = "HS256") =>
    new SignJWT(payload).setProtectedHeader({ alg }).sign(new TextEncoder().encode(secret));

  test("HS256: the 2 scopes that are ours count, in the tenant that it names, until its time plus 5 s", async () => {
    const clock = new ManualClock();
    await using authority = await open({ jwtSecret: SECRET, clock });
    const token = await hs(claims(clock, { tenant: "acme" }));
    const caller = await authority.identify(token);
    expect(caller).toMatchObject({ name: "token alice", tenant: "acme" });
    expect(caller.may("events:read", "acme~a1")).toBe(true);
    expect(caller.may("events:read", "acme~b1")).toBe(false);
    expect(caller.may("admin")).toBe(false);
    clock.advance(66_000);
    expect(caller.may("events:read", "acme~a1")).toBe(false);
    await expect(authority.identify(token)).rejects.toThrow("the token has expired");
  });

  test("who its holder is in a call goes before what 5 requests say; of consent the less counts", async () => {
    const clock = new ManualClock();
    await using authority = await open({ jwtSecret: SECRET, clock });
    const admit = async (tonetap: unknown) => authority.admit(await hs(claims(clock, { tonetap })));
    const asked = { callId: "a1", participantId: "x", role: "customer", displayName: "X" } as const;

    const ada = await admit({ participant: "ada", role: "agent", consent: "granted", name: "Ada" });
    const agent = { callId: "a1", participantId: "ada", role: "agent", displayName: "Ada" };
    expect(ada(asked)).toEqual({ ...agent, consent: "granted" });
    expect(ada({ ...asked, consent: "withdrawn" })).toEqual({ ...agent, consent: "withdrawn" });
    const waiting = await admit({ consent: "pending" });
    expect(waiting({ ...asked, consent: "granted" })).toEqual({ ...asked, consent: "pending" });
    const silent = await admit({});
    expect(silent({ ...asked, consent: "granted" })).toEqual({ ...asked, consent: "granted" });
    expect((await admit(undefined))(asked)).toEqual(asked);

    const wrong: [unknown, string][] = [
      [{ role: "boss" }, "tonetap.role"],
      [{ participant: "" }, "tonetap.participant: must be 1–128"],
      [{ consents: "granted" }, "consents"],
      ["ada", "tonetap"],
    ];
    for (const [claim, words] of wrong) {
      await expect(admit(claim)).rejects.toMatchObject({
        code: "unauthenticated",
        message: expect.stringContaining(words),
      });
    }
  });

  test("9 tokens that are not right are refused as unauthenticated", async () => {
    const clock = new ManualClock();
    await using authority = await open({ jwtSecret: SECRET, jwtIssuer: "https://id.example", clock });
    const right = claims(clock, { iss: "https://id.example" });
    await authority.identify(await hs(right));
    const { exp: _, ...endless } = right;
    const { sub: __, ...nameless } = right;
    const unsigned = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${Buffer.from(JSON.stringify(right)).toString("base64url")}.`;
    const good = await hs(right);
    const tampered = `${good.slice(0, good.indexOf(".") + 1)}${Buffer.from(JSON.stringify({ ...right, scope: "admin" })).toString("base64url")}${good.slice(good.lastIndexOf("."))}`;
    const wrong = [
      await hs(right, `${SECRET}x`),
      await hs({ ...right, iss: "https://evil.example" }),
      await hs({ ...right, aud: "other" }),
      await hs(endless),
      await hs(nameless),
      await hs({ ...right, nbf: right.exp }),
      await hs({ ...right, tenant: "a~b" }),
      unsigned,
      tampered,
    ];
    for (const token of wrong) {
      await expect(authority.identify(token)).rejects.toMatchObject({ code: "unauthenticated" });
    }
  });

  test("RS256, PS256, ES256 and EdDSA of a JWKS file pass; HS256 with the public key as its secret does not", async () => {
    const clock = new ManualClock();
    const pairs = await Promise.all(
      ["RS256", "PS256", "ES256", "EdDSA"].map(async (alg) => ({
        alg,
        ...(await generateKeyPair(alg, { extractable: true })),
      })),
    );
    const keys = await Promise.all(
      pairs.map(async ({ alg, publicKey }) => ({ ...(await exportJWK(publicKey)), alg, kid: alg })),
    );
    await using authority = await open({ jwksFile: await file(JSON.stringify({ keys })), clock });
    for (const { alg, privateKey } of pairs) {
      const token = await new SignJWT(claims(clock)).setProtectedHeader({ alg, kid: alg }).sign(privateKey);
      expect(await authority.identify(token)).toMatchObject({ name: "token alice" });
    }
    for (const key of keys) {
      const confused = await new SignJWT(claims(clock))
        .setProtectedHeader({ alg: "HS256", kid: key.kid })
        .sign(new TextEncoder().encode(JSON.stringify(key)));
      await expect(authority.identify(confused)).rejects.toMatchObject({ code: "unauthenticated" });
    }
  });

  test("a JWKS address is asked once for 2 tokens; while it cannot be had a token is not refused but unavailable", async () => {
    const clock = new ManualClock();
    const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
    const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: "1", alg: "ES256" }] });
    let asked = 0;
    const server = createServer((_, response) => {
      asked++;
      response.writeHead(asked === 1 ? 500 : 200, { "content-type": "application/json" }).end(jwks);
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const jwksUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`;
    await using authority = await open({ jwksUrl, clock });
    const token = await new SignJWT(claims(clock))
      .setProtectedHeader({ alg: "ES256", kid: "1" })
      .sign(privateKey);
    await expect(authority.identify(token)).rejects.toMatchObject({ code: "unavailable" });
    await authority.identify(token);
    await authority.identify(token);
    expect(asked).toBe(2);
    server.closeAllConnections();
    server.close();
  });

  test("4 wrong settings are refused when it is opened", async () => {
    await expect(open({ jwtSecret: "short" })).rejects.toThrow("at least 32 bytes, it has 5");
    await expect(open({ jwksFile: await file("{}") })).rejects.toThrow("JSON Web Key Set");
    await expect(open({ jwksUrl: "ldap://x" })).rejects.toThrow("must be an http(s) address");
    await expect(open({ jwtSecret: SECRET, jwksUrl: "http://x" })).rejects.toThrow("exclude each other");
  });
});

test("without keys and tokens everybody is anyone; 3 ways to send a token are read, the query is none", async () => {
  await using authority = await open({});
  expect(authority.isOpen).toBe(true);
  expect((await authority.identify(undefined)).may("admin")).toBe(true);
  expect(tokenOf({ authorization: "Bearer abc" })).toBe("abc");
  expect(tokenOf({ authorization: "bearer  abc==" })).toBe("abc==");
  expect(tokenOf({ "sec-websocket-protocol": "tonetap.v1, bearer.a.b.c" })).toBe("a.b.c");
  expect(tokenOf({ authorization: "Basic abc" })).toBeUndefined();
});

test("a tenant's participant gets its tenant's call; naming another tenant, or a call out of its pattern, is refused", async () => {
  const { key, hash } = createKey("pub");
  const keysFile = await file(
    `keys:\n  - {id: pub, hash: "${hash}", scopes: ["calls:write:web-*"], tenant: acme}\n`,
  );
  await using authority = await open({ keysFile });
  const caller = await authority.identify(key);
  const bring = (callId: string, tenant?: string) =>
    admitted(caller, { callId, participantId: "p", ...(tenant === undefined ? {} : { tenant }) });
  expect(bring("web-1")).toEqual({ callId: "acme~web-1", participantId: "p", tenant: "acme" });
  expect(bring("acme~web-1").callId).toBe("acme~web-1");
  expect(() => bring("web-1", "beta")).toThrow("another tenant");
  expect(() => bring("desk-1")).toThrow("may not bring participants to call desk-1");
  expect(() => bring("beta~web-1")).toThrow("may not bring participants");
});
