/** `tonetap listen` against the real service: listen.ts. */
import type { AddressInfo } from "node:net";
import { PassThrough, Writable } from "node:stream";
import { describe, expect, test } from "vitest";
import { WebSocketServer } from "ws";
import { runListen } from "../../src/events/listen.ts";
import { ADA, emotion, joinedOf, startService, until } from "./support.ts";

/** Keeps what is written; `tty` adds what a terminal has. */
class Screen extends Writable {
  text = "";
  readonly isTTY: boolean;
  columns = 100;
  readonly rows = 24;

  constructor(isTTY: boolean) {
    super({ decodeStrings: false });
    this.isTTY = isTTY;
  }

  override _write(chunk: string, _encoding: string, done: () => void): void {
    this.text += chunk;
    done();
  }
}

describe("listen", () => {
  test("writes 1 line an event into a pipe, news of the connection elsewhere, and ends with 0", async () => {
    await using service = await startService();
    const [out, err] = [new Screen(false), new Screen(false)];
    const abort = new AbortController();
    const running = runListen({ url: service.url.href, out, err, signal: abort.signal });
    await until(() => service.sockets.stats.subscribers === 1);
    for (let i = 0; i < 3; i++) service.hub.publish(emotion(service.factory, ADA, i));
    await until(() => out.text.split("\n").length === 4);
    abort.abort();
    expect(await running).toBe(0);
    for (const line of out.text.trimEnd().split("\n")) expect(line).toMatch(/ c1\/ada emotion angry 60 % /);
    expect(err.text).toContain("listening to");
  });

  test("with json writes the 2 events as they are", async () => {
    await using service = await startService();
    const out = new Screen(true);
    const abort = new AbortController();
    const running = runListen({
      url: service.url.href,
      out,
      err: new Screen(false),
      json: true,
      signal: abort.signal,
      filter: { kinds: ["emotion"] },
    });
    await until(() => service.sockets.stats.subscribers === 1);
    const events = [0, 1].map((i) => emotion(service.factory, ADA, i));
    for (const event of events) service.hub.publish(event);
    await until(() => out.text.split("\n").length === 3);
    abort.abort();
    await running;
    expect(
      out.text
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toEqual(events);
  });

  test("draws a table on a terminal at most every 100 ms, with colour unless NO_COLOR, and leaves the screen as it was", async () => {
    await using service = await startService();
    service.hub.publish(service.factory.create("call.started", { callId: "c1" }));
    service.hub.publish(service.factory.create("participant.joined", joinedOf(ADA)));
    const abort = new AbortController();
    const screens = [new Screen(true), new Screen(true)];
    const running = screens.map((out, i) =>
      runListen({ url: service.url.href, out, signal: abort.signal, env: i === 0 ? {} : { NO_COLOR: "1" } }),
    );
    await until(() => service.sockets.stats.subscribers === 2);
    for (let i = 0; i < 200; i++) service.hub.publish(emotion(service.factory, ADA, i));
    await until(() => screens.every((screen) => screen.text.includes("angry")));
    abort.abort();
    expect(await Promise.all(running)).toEqual([0, 0]);
    for (const { text } of screens) {
      expect(text.startsWith("\u001b[?1049h\u001b[?25l\u001b[H")).toBe(true);
      expect(text.endsWith("\u001b[?25h\u001b[?1049l")).toBe(true);
      // 200 events, and no more than a handful of frames.
      expect(text.split("\u001b[H").length).toBeLessThan(10);
    }
    expect(screens[0]?.text).toContain("\u001b[38;5;");
    expect(screens[1]?.text).not.toContain("\u001b[38;5;");
  });

  test("ends when whoever reads it is gone, 1 event later", async () => {
    await using service = await startService();
    const out = new PassThrough();
    const running = runListen({ url: service.url.href, out, err: new Screen(false) });
    await until(() => service.sockets.stats.subscribers === 1);
    out.destroy(new Error("EPIPE"));
    expect(await running).toBe(0);
    await until(() => service.sockets.stats.subscribers === 0);
  });

  test("waits for a service that is not there, and ends with 69 when one refuses it for good", async () => {
    const err = new Screen(false);
    const abort = new AbortController();
    const running = runListen({
      url: "http://127.0.0.1:9",
      out: new Screen(false),
      err,
      signal: abort.signal,
    });
    await until(() => err.text.includes("trying again in"));
    abort.abort();
    expect(await running).toBe(0);

    const strict = new WebSocketServer({ host: "127.0.0.1", port: 0, handleProtocols: () => "tonetap.v1" });
    strict.on("connection", (socket) => socket.close(1008, "not you"));
    await until(() => strict.address() !== null);
    const { port } = strict.address() as AddressInfo;
    expect(await runListen({ url: `http://127.0.0.1:${port}`, out: new Screen(false), err })).toBe(69);
    expect(err.text.endsWith("not you\n")).toBe(true);
    strict.close();
  });

  test("calls 1 address that is none an invalid argument", async () => {
    await expect(runListen({ url: "nowhere", out: new Screen(false) })).rejects.toMatchObject({
      code: "invalid-argument",
    });
  });
});
