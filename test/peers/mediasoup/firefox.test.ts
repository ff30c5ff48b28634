/** Real Firefox in the example's room. Its sound comes through mediasoup as Chromium's does; its signalling differs. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasPeer, ownAddress } from "../../support/system-peers.ts";
import { eventually } from "../../transport/loopback.ts";
import { Firefox } from "../firefox.ts";
import { ExampleRoom } from "./example-room.ts";
import { hasMediasoup } from "./setup.ts";

const JOIN = `(async () => {
  document.querySelector("[name=name]").value = "Fred";
  document.querySelector("[name=consent]").checked = true;
  document.getElementById("join").requestSubmit();
  while (document.getElementById("status").textContent !== "connected") {
    if (document.getElementById("error").textContent) throw document.getElementById("error").textContent;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
})()`;

describe.skipIf(!hasMediasoup() || !hasPeer("firefox"))("Firefox in the example's mediasoup room", () => {
  let room: ExampleRoom;
  let firefox: Firefox;
  beforeAll(async () => {
    room = await ExampleRoom.open(ownAddress() ?? "127.0.0.1");
    firefox = await Firefox.launch(room.preload);
  });
  afterAll(async () => {
    await firefox?.[Symbol.asyncDispose]();
    await room?.[Symbol.asyncDispose]();
  });

  test("7 s of speech come through with correlation ≥ 0.95, and 5 or more events say who spoke", async () => {
    const page = await firefox.open(room.url);
    await page.evaluate(JOIN);

    await page.evaluate("speak()");
    await eventually(() => room.of("tonetap.speech.ended", "Fred").length >= 2);

    const { correlation, configurations } = await room.match("Fred");
    console.log(`Firefox ${firefox.version} through mediasoup: correlation ${correlation.toFixed(4)}`, [
      ...configurations,
    ]);
    expect(correlation).toBeGreaterThanOrEqual(0.95);
    expect(room.packets("Fred").every(({ audioLevel }) => audioLevel !== undefined)).toBe(true);
    expect(room.of("tonetap.emotion", "Fred").length).toBeGreaterThanOrEqual(5);
    await page.close();
    await eventually(() => room.of("tonetap.participant.left", "Fred").length === 1);
    expect(await room.left()).toEqual({ transports: 0, consumers: 0 });
  });
});
