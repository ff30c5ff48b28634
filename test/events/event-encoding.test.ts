/** Bytes on the wire: event-encoding.ts, and the official CloudEvents SDK as judge. */
import { decode } from "cborg";
import { CloudEvent, HTTP } from "cloudevents";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeCbor, payloadOf, serverSentEvent, webSocketFrame } from "../../src/events/event-encoding.ts";
import { eventExamples } from "../../src/events/event-examples.ts";
import { PublishedEvent } from "../../src/events/published-event.ts";
import { ADA, emotion, Peer, startService, until } from "./support.ts";

/** Numbers as a reader of CBOR has them: to four decimals. */
function rounded(value: unknown): unknown {
  if (typeof value === "number") return Math.round(value * 1e4) / 1e4;
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(rounded);
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, rounded(field)]));
}

describe("the official CloudEvents SDK", () => {
  test("takes all 21 kinds of event as they are, strictly, and reads them back from HTTP in structured mode", () => {
    for (const event of Object.values(eventExamples())) {
      const strict = new CloudEvent(event as never, true);
      expect(strict.validate()).toBe(true);
      const body = new PublishedEvent(event, 0).json.toString();
      const back = HTTP.toEvent({ headers: { "content-type": "application/cloudevents+json" }, body });
      expect(JSON.parse(JSON.stringify(back))).toEqual(JSON.parse(body));
    }
  });

  test("takes all of the 20 or more kinds as they come in CBOR, strictly, and carries them in HTTP's binary mode", () => {
    const kinds = Object.values(eventExamples());
    expect(kinds.length).toBeGreaterThanOrEqual(20);
    for (const event of kinds) {
      const published = new PublishedEvent(event, 0);
      const strict = new CloudEvent(decode(payloadOf(published.wire("cbor"))), true);
      expect(strict.validate()).toBe(true);
      const back = HTTP.toEvent(HTTP.binary(strict));
      expect(rounded(JSON.parse(JSON.stringify(back)))).toEqual(JSON.parse(published.json.toString()));
    }
  });
});

describe("a WebSocket frame", () => {
  test("of any length holds its payload after a header of 2, 4 or 10 bytes", () => {
    for (const [length, header] of [
      [2, 2],
      [125, 2],
      [126, 4],
      [65_535, 4],
      [65_536, 10],
      [70_000, 10],
    ] as const) {
      // Two bytes of it are the quotes.
      const text = "x".repeat(length - 2);
      const frame = webSocketFrame("json", text);
      expect(frame.length).toBe(header + length);
      expect(payloadOf(frame).toString()).toBe(JSON.stringify(text));
    }
  });

  test("of JSON and of CBOR say the same of all 21 kinds; CBOR of an emotion is at least 15 % smaller", () => {
    for (const event of Object.values(eventExamples())) {
      const published = new PublishedEvent(event, 0);
      const cbor = payloadOf(published.wire("cbor"));
      expect(rounded(decode(cbor))).toEqual(JSON.parse(published.json.toString()));
      if (event.type === "tonetap.emotion") expect(cbor.length).toBeLessThan(0.85 * published.json.length);
    }
  });

  test("keeps every number of 4 decimals exact to 4 decimals in CBOR", () => {
    fc.assert(
      fc.property(fc.integer({ min: -10_000, max: 10_000 }), (tenThousandths) => {
        const value = tenThousandths / 1e4;
        expect(rounded(decode(payloadOf(webSocketFrame("cbor", { value }))))).toEqual({ value });
      }),
    );
  });
});

test("CBOR from a client that is broken, too deep or doubled is a protocol error: 500 random messages and 3 bad ones", () => {
  const bad = [Buffer.alloc(8000, 0x81), Buffer.from("a2616101616102", "hex"), Buffer.from("9f01ff", "hex")];
  for (const data of bad)
    expect(() => decodeCbor(data)).toThrow(expect.objectContaining({ code: "protocol" }));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (data) => {
      try {
        decodeCbor(data);
      } catch (error) {
        expect(error).toMatchObject({ code: "protocol" });
      }
    }),
    { numRuns: 500 },
  );
});

test("a server-sent event is 3 lines: id, data, nothing", () => {
  expect(serverSentEvent(Buffer.from("{}"), "e-1").toString()).toBe("id: e-1\ndata: {}\n\n");
});

describe("a subscriber that speaks CBOR", () => {
  test("gets hello and events in binary frames and changes its filter in CBOR: 2 subprotocols", async () => {
    await using service = await startService();
    const full = new Peer(service, "", {}, ["tonetap.v1.cbor"]);
    const bare = new Peer(service, "", {}, ["cloudevents.cbor"]);
    await until(() => service.sockets.stats.subscribers === 2);
    const { encode } = await import("cborg");
    full.socket.send(encode({ type: "subscribe", filter: { kinds: ["emotion"] } }));
    await full.heard("subscribed");
    service.hub.publish(emotion(service.factory, ADA, 7));
    await until(() => full.events.length === 1 && bare.events.length === 1);
    expect(full.frames.slice(0, 2)).toEqual(["hello", "subscribed"]);
    expect(bare.control).toEqual([]);
    expect(full.events).toEqual(bare.events);
    expect(full.events[0]?.data).toMatchObject({ index: 7, top: "angry" });
    expect(full.binaryFrames).toBe(3);
    full.say("{");
    expect((await full.heard("error")).code).toBe("protocol");
    await Promise.all([full.close(), bare.close()]);
  });
});
