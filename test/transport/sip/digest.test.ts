/** Digest credentials: the arithmetic against published examples, and the server that asks for them. */
import { describe, expect, test } from "vitest";
import {
  type DigestAlgorithm,
  digestResponse,
  digestSecret,
  formatCredentials,
  parseChallenge,
} from "../../../src/transport/sip/digest.ts";
import type { SipServerOptions } from "../../../src/transport/sip/index.ts";
import { headersOf, type SipResponse } from "../../../src/transport/sip/sip-message.ts";
import { type Bench, listen, one } from "./bench.ts";
import { offer } from "./messages.ts";
import { Phone, tagOf } from "./phone.ts";

describe("the arithmetic", () => {
  test("RFC 7616 §3.9.1: the 2 published responses", () => {
    const asked = {
      nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
      nc: "00000001",
      cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
      uri: "/dir/index.html",
    };
    const response = (algorithm: DigestAlgorithm): string => {
      const secret = digestSecret(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life");
      return digestResponse(algorithm, secret, "GET", asked);
    };
    expect(response("MD5")).toBe("8ca523f5e9506fed4657c9700eebdbec");
    expect(response("SHA-256")).toBe("753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
  });

  test("of 5 challenges the 2 that we can answer are read", () => {
    expect(
      [
        'Digest realm="a, b", nonce="n", algorithm=SHA-256, qop="auth,auth-int", opaque="o"',
        'digest  nonce="n",realm="r" , qop=auth, stale=TRUE',
        'Digest realm="r", nonce="n", algorithm=SHA-512-256, qop="auth"',
        'Digest realm="r", nonce="n"',
        'Basic realm="r"',
      ].map(parseChallenge),
    ).toEqual([
      { realm: "a, b", nonce: "n", algorithm: "SHA-256", opaque: "o", stale: false },
      { realm: "r", nonce: "n", algorithm: "MD5", opaque: undefined, stale: true },
      undefined,
      undefined,
      undefined,
    ]);
  });
});

const USERS = new Map([
  ["anna", "s3cret"],
  ["zoë", "pässword"],
]);
const URI = "sip:tonetap@example.com";

const guarded = (onRefused?: SipServerOptions["onRefused"]): Promise<Bench> =>
  listen({ digest: { users: USERS }, ...(onRefused === undefined ? {} : { onRefused }) });

interface Claim {
  readonly user?: string;
  readonly password?: string;
  readonly nc?: number;
  readonly algorithm?: DigestAlgorithm;
}

/** Credentials that answer a 401. */
function credentials(challenged: SipResponse, claim: Claim = {}): string {
  const { user = "anna", password = "s3cret", nc = 1, algorithm = "SHA-256" } = claim;
  const challenge = challenges(challenged).find((candidate) => candidate?.algorithm === algorithm);
  if (challenge === undefined) return expect.unreachable("no such challenge");
  const { realm, nonce, opaque } = challenge;
  const asked = { nonce, nc: nc.toString(16).padStart(8, "0"), cnonce: "c", uri: URI };
  const response = digestResponse(algorithm, digestSecret(algorithm, user, realm, password), "INVITE", asked);
  const username = Buffer.from(user, "utf8").toString("latin1");
  return `Authorization: ${formatCredentials({ ...asked, username, realm, algorithm, qop: "auth", response }, opaque)}`;
}

const challenges = (response: SipResponse) =>
  headersOf(response, "WWW-Authenticate").map((text) => parseChallenge(text));
const staleOf = (response: SipResponse) => challenges(response).map((challenge) => challenge?.stale);

describe("the server that asks", () => {
  test.each(["SHA-256", "MD5"] as const)(
    "an INVITE gets 401 with 2 challenges, and with credentials of %s 200 and the user's name",
    async (algorithm) => {
      const bench = await guarded();
      await using phone = await Phone.udp(bench.udp);
      const asked = await phone.ask("INVITE", { body: offer() });
      expect(asked.status).toBe(401);
      expect(challenges(asked)).toMatchObject([{ algorithm: "SHA-256" }, { algorithm: "MD5" }]);
      expect(bench.server.held).toMatchObject({ calls: 0, transactions: 0, rtpPorts: 0 });

      const claim = { user: "zoë", password: "pässword", algorithm };
      const headers = [credentials(asked, claim)];
      const ok = await phone.ask("INVITE", { cseq: 2, headers, body: offer() });

      expect(ok.status).toBe(200);
      expect(one(bench).call.digestUser).toBe("zoë");
      // Within the call nobody is asked again.
      await phone.send(phone.compose("ACK", { cseq: 2, toTag: tagOf(ok) }));
      expect((await phone.ask("INVITE", { cseq: 3, toTag: tagOf(ok), body: offer() })).status).toBe(200);
      expect((await phone.ask("BYE", { cseq: 4, toTag: tagOf(ok) })).status).toBe(200);
    },
  );

  test("a wrong password, user, or realm, and a nonce of somebody else's are 4 times 401, none of them stale; the owner is told of 3", async () => {
    const told: string[] = [];
    const bench = await guarded(({ code }, host) => told.push(`${host} ${code}`));
    await using phone = await Phone.udp(bench.udp);
    const asked = await phone.ask("INVITE", { body: offer() });
    const right = credentials(asked);
    const wrong = [
      credentials(asked, { password: "guess" }),
      credentials(asked, { user: "nobody" }),
      right.replace('realm="tonetap"', 'realm="elsewhere"'),
      right.replace(/nonce="[^"]*"/, 'nonce="0-0000000000000000-00000000000000000000000000000000"'),
    ];
    for (const [i, header] of wrong.entries()) {
      const response = await phone.ask("INVITE", { cseq: 2 + i, headers: [header], body: offer() });
      expect([response.status, staleOf(response)], header).toEqual([401, [false, false]]);
    }
    expect(bench.taken).toHaveLength(0);
    expect(bench.server.stats.refused).toBe(5);
    // Neither the first challenge nor the one for a realm of its own is about who asks.
    expect(told).toEqual(Array(3).fill("127.0.0.1 unauthenticated"));
  });

  test("used again with its count, or 300 s old, a nonce is stale; counted on to 2 it is good", async () => {
    const bench = await guarded();
    await using phone = await Phone.udp(bench.udp);
    const asked = await phone.ask("INVITE", { body: offer() });
    const call = async (cseq: number, nc: number): Promise<SipResponse> => {
      phone.callId = `call-${cseq}`;
      return phone.ask("INVITE", { cseq, headers: [credentials(asked, { nc })], body: offer() });
    };
    expect((await call(2, 1)).status).toBe(200);
    const replayed = await call(3, 1);
    expect([replayed.status, staleOf(replayed)]).toEqual([401, [true, true]]);
    expect((await call(4, 2)).status).toBe(200);
    bench.clock.advance(300_001);
    const old = await call(5, 3);
    expect([old.status, staleOf(old)]).toEqual([401, [true, true]]);
  });

  test("credentials without qop, cnonce, count or response are 4 times 400", async () => {
    const bench = await guarded();
    await using phone = await Phone.udp(bench.udp);
    const right = credentials(await phone.ask("INVITE", { body: offer() }));
    const broken = [
      right.replace(", qop=auth", ""),
      right.replace('cnonce="c"', 'cnonce=""'),
      right.replace("nc=00000001", "nc=1"),
      right.replace(/response="[^"]*"/, 'response=""'),
    ];
    for (const [i, header] of broken.entries()) {
      const response = await phone.ask("INVITE", { cseq: 2 + i, headers: [header], body: offer() });
      expect(response.status, header).toBe(400);
    }
  });

  test("OPTIONS is answered 200 without credentials: a dispatcher's ping is no call", async () => {
    const bench = await guarded();
    await using phone = await Phone.udp(bench.udp);
    expect((await phone.ask("OPTIONS")).status).toBe(200);
  });

  test("1 user at least, a realm without quotes, algorithms that are known: else it does not open", async () => {
    const open = (digest: object) => listen({ digest: { users: USERS, ...digest } });
    await expect(open({ users: new Map() })).rejects.toThrow("sip digest.users must be at least one, got 0");
    await expect(open({ realm: 'a"b' })).rejects.toThrow("sip digest.realm must be printable ASCII");
    await expect(open({ algorithms: [] })).rejects.toThrow("sip digest.algorithms must be some of SHA-256");
    await expect(open({ nonceLifetimeMs: 1 })).rejects.toThrow("nonceLifetimeMs must be 1000–86400000 ms");
  });
});
