/** Registering: what is said to a registrar, when again, and what becomes of its refusals. The registrar is a bare socket. */
import { afterEach, describe, expect, test } from "vitest";
import { digestResponse, digestSecret, parseCredentials } from "../../../src/transport/sip/digest.ts";
import type { RegistrationOptions, RegistrationStatus } from "../../../src/transport/sip/index.ts";
import { headerOf, type SipRequest } from "../../../src/transport/sip/sip-message.ts";
import { eventually } from "../loopback.ts";
import { type Bench, listen, NOTHING } from "./bench.ts";
import { Phone } from "./phone.ts";

interface Registered {
  readonly bench: Bench;
  readonly registrar: Phone;
  readonly changes: RegistrationStatus[];
  /** Its REGISTERs so far. */
  readonly heard: () => SipRequest[];
  /** Waits for the request of that number, from 1 on. */
  readonly nth: (count: number) => Promise<SipRequest>;
}

const phones: Phone[] = [];
afterEach(async () => {
  await Promise.all(phones.splice(0).map((phone) => phone[Symbol.asyncDispose]()));
});

async function register(options: Partial<RegistrationOptions> = {}): Promise<Registered> {
  // A server of no importance gives the telephone a port to begin with.
  const other = await listen();
  const registrar = await Phone.udp(other.udp);
  phones.push(registrar);
  const changes: RegistrationStatus[] = [];
  const bench = await listen({
    register: {
      addressOfRecord: "sip:tonetap@pbx.example",
      registrar: `sip:127.0.0.1:${registrar.port}`,
      onChange: (status) => changes.push(status),
      ...options,
    },
  });
  registrar.to = bench.udp;
  const heard = (): SipRequest[] => {
    // While time is moved, a request may come more than once.
    const numbered = registrar
      .requests("REGISTER")
      .map((request) => [headerOf(request, "CSeq"), request] as const);
    return [...new Map(numbered).values()];
  };
  const nth = async (count: number): Promise<SipRequest> => {
    await eventually(() => heard().length >= count);
    return heard()[count - 1] ?? expect.unreachable();
  };
  return { bench, registrar, changes, heard, nth };
}

describe("a registrar", () => {
  test("is told an address, again after 3 quarters of what it grants, and that it is over", async () => {
    const { bench, registrar, changes, heard, nth } = await register();
    const first = await nth(1);
    const contact = `<sip:tonetap@127.0.0.1:${bench.udp.port}>`;
    expect(first.uri).toBe(`sip:127.0.0.1:${registrar.port}`);
    expect(["To", "Contact", "Expires", "CSeq"].map((name) => headerOf(first, name))).toEqual([
      "<sip:tonetap@pbx.example>",
      contact,
      "300",
      "1 REGISTER",
    ]);
    expect(bench.server.registration).toEqual({ state: "registering" });
    await registrar.answer(first, 200, [`Contact: <sip:other@192.0.2.1>;expires=9, ${contact};expires=120`]);
    await eventually(() => bench.server.registration?.state === "registered");
    bench.clock.advance(89_999);
    expect(heard()).toHaveLength(1);
    bench.clock.advance(1);
    const second = await nth(2);
    expect(headerOf(second, "Call-ID")).toBe(headerOf(first, "Call-ID"));
    await registrar.answer(second, 200, ["Expires: 60"]);
    await eventually(() => bench.server.held.transactions === 0);

    const closing = bench.server.close();
    const last = await nth(3);
    expect([headerOf(last, "Expires"), headerOf(last, "CSeq")]).toEqual(["0", "3 REGISTER"]);
    await registrar.answer(last);
    await closing;
    expect(changes).toEqual([{ state: "registered" }, { state: "closed" }]);
    expect(bench.server.held).toEqual(NOTHING);
  });

  test.each([
    [401, "WWW-Authenticate", "Authorization", "SHA-256"],
    [407, "Proxy-Authenticate", "Proxy-Authorization", "MD5"],
  ] as const)(
    "that answers %i is given credentials, counted on from 1 to 2",
    async (status, asks, answers, algorithm) => {
      const { bench, registrar, nth } = await register({ password: "s3cret", username: "door" });
      const challenge = `${asks}: Digest realm="pbx", nonce="n1", algorithm=${algorithm}, qop="auth", opaque="o"`;
      await registrar.answer(await nth(1), status, [challenge]);
      const proofOf = (request: SipRequest) => {
        const text = headerOf(request, answers) ?? "";
        expect(text).toContain('opaque="o"');
        const credentials = parseCredentials(text) ?? expect.unreachable();
        const secret = digestSecret(algorithm, "door", "pbx", "s3cret");
        expect(credentials.response).toBe(digestResponse(algorithm, secret, "REGISTER", credentials));
        expect(credentials.uri).toBe(request.uri);
        return [credentials.username, credentials.nc];
      };
      const second = await nth(2);
      expect(proofOf(second)).toEqual(["door", "00000001"]);
      await registrar.answer(second, 200, ["Expires: 60"]);
      await eventually(() => bench.server.registration?.state === "registered");
      bench.clock.advance(45_000);
      expect(proofOf(await nth(3))).toEqual(["door", "00000002"]);
    },
  );

  test("that wants longer than 300 s is asked for 600", async () => {
    const { bench, registrar, nth } = await register();
    await registrar.answer(await nth(1), 423, ["Min-Expires: 600"]);
    const second = await nth(2);
    expect(headerOf(second, "Expires")).toBe("600");
    await registrar.answer(second);
    await eventually(() => bench.server.registration?.state === "registered");
  });

  test("that refuses the password 3 times is asked again later, as one that does not answer is, and as it says itself", async () => {
    const { bench, registrar, changes, heard, nth } = await register({ password: "guess" });
    const challenge = ['WWW-Authenticate: Digest realm="pbx", nonce="n", qop="auth"'];
    for (let round = 1; round <= 3; round++) await registrar.answer(await nth(round), 401, challenge);
    await eventually(() => changes.length === 1);
    expect(changes[0]).toEqual({ state: "failed", reason: expect.stringMatching(/answers 401 X$/) });
    // 5 s, and up to a quarter more.
    bench.clock.advance(6_250);
    await registrar.answer(await nth(4), 503, ["Retry-After: 100"]);
    await eventually(() => changes.length === 2);
    bench.clock.advance(99_999);
    await registrar.settled();
    expect(heard()).toHaveLength(4);
    bench.clock.advance(1);
    await nth(5);
    for (let second = 0; second < 32; second++) bench.clock.advance(1_000);
    await eventually(() => changes.length === 3);
    expect(changes[2]).toEqual({ state: "failed", reason: expect.stringMatching(/does not answer$/) });
  });

  test("that asks for a password that we have not is 1 failure that says so, and a closing server does not wait for it", async () => {
    const { bench, registrar, changes, heard, nth } = await register();
    await registrar.answer(await nth(1), 401, [
      'WWW-Authenticate: Digest realm="pbx", nonce="n", qop="auth"',
    ]);
    await eventually(() => changes.length === 1);
    expect(changes[0]?.reason).toMatch(/answers 401 a password is needed$/);
    await bench.server.close();
    expect(heard()).toHaveLength(1);
    expect(bench.server.held).toEqual(NOTHING);
  });

  test("that never answers holds a closing server for 2 s, not for 32", async () => {
    const { bench, nth } = await register();
    await nth(1);
    let closed = false;
    void bench.server.close().then(() => {
      closed = true;
    });
    bench.clock.advance(2_000);
    await eventually(() => closed);
    expect(bench.server.held).toEqual(NOTHING);
  });

  test.each([
    [{ addressOfRecord: "tonetap" }, /register.addressOfRecord must be a SIP URI such as sip:pbx.example/],
    [{ addressOfRecord: "sip:pbx.example" }, /register.addressOfRecord must be a SIP URI with a user/],
    [{ registrar: "tel:1" }, /register.registrar must be a SIP URI/],
    [{ registrar: "sips:pbx.example" }, /transports must be with tls, for the registrar/],
    [{ expiresS: 10 }, /register.expiresS must be 60–86400 s/],
  ])("%j is refused in words, before anything is bound", async (options, words) => {
    const wrong = { addressOfRecord: "sip:tonetap@pbx.example", ...options };
    await expect(listen({ register: wrong })).rejects.toThrow(words);
  });
});
