import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { acceptTokens, iceServers } from "../../../src/transport/werift/index.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const URLS = ["stun:192.0.2.1", "turn:turn.example:3478?transport=udp", "turns:[2001:db8::1]:5349"];

describe("iceServers", () => {
  it("gives 2 TURN URLs of 3 the account, and the STUN URL none", () => {
    const servers = iceServers(URLS, { username: "me", credential: "c" }, new ManualClock());

    expect(servers()).toEqual([
      { urls: URLS[0] },
      { urls: URLS[1], username: "me", credential: "c" },
      { urls: URLS[2], username: "me", credential: "c" },
    ]);
  });

  it("makes credentials that expire 3,600 s after they were asked for, anew for everyone who asks", () => {
    // 2026-01-01T00:00:00Z.
    const clock = new ManualClock();
    const servers = iceServers(URLS, { secret: "north", ttlS: 3_600 }, clock);
    const [first] = servers().slice(1);
    clock.advance(10_000);
    const [second] = servers().slice(1);

    const username = String(Date.UTC(2026, 0, 1) / 1000 + 3_600);
    const credential = createHmac("sha1", "north").update(username).digest("base64");
    expect(first).toEqual({ urls: URLS[1], username, credential });
    expect(second?.username).toBe(String(Number(username) + 10));
    expect(second?.credential).not.toBe(credential);
  });

  it.each([
    ["http://a", undefined, 'like stun:host:3478 or turn:host:3478?transport=udp, got "http://a"'],
    ['stun:a>; rel="x', undefined, "an ICE server must be like"],
    ["stun:a\r\nSet-Cookie: b", undefined, "an ICE server must be like"],
    ["turn:a", undefined, "turn:a needs a TURN username and credential, or a secret"],
    ["turn:a", { secret: "" }, "the TURN secret is empty"],
    ["turn:a", { secret: "s", ttlS: 59 }, "TURN ttlS must be 60–604800 s, got 59"],
  ])("refuses %j with access %j", (url, access, reason) => {
    expect(() => iceServers([url], access, new ManualClock())).toThrow(reason);
  });
});

describe("acceptTokens", () => {
  it("takes 2 of 6 tokens", () => {
    const takes = acceptTokens(["0123456789abcdef", "fedcba9876543210="]);

    expect(
      ["0123456789abcdef", "fedcba9876543210=", "0123456789abcdeF", "0123456789abcde", "", undefined].map(
        takes,
      ),
    ).toEqual([true, true, false, false, false, false]);
  });

  it("refuses a token of 15 characters, and one with a space, without repeating them", () => {
    for (const token of ["0123456789abcde", "0123456789 abcdef"]) {
      const reason = `token 2 must be at least 16 of A–Z a–z 0–9 - . _ ~ + /, it has ${token.length} characters`;
      expect(() => acceptTokens(["0123456789abcdef", token])).toThrow(new Error(reason).message);
    }
  });
});
