import type { IncomingMessage } from "node:http";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { answerOn, targetOf } from "../../src/core/bare-http.ts";
import { TonetapError } from "../../src/core/errors.ts";
import { problemOf } from "../../src/core/problem.ts";

test.each([
  ["/v1/events?kind=emotion", "/v1/events", "?kind=emotion"],
  ["//x/y", "//x/y", ""],
  ["http://elsewhere.example/v1/events", "/v1/events", ""],
])("of 1 request for %s the path is %s", (url, pathname, search) => {
  expect(targetOf({ url } as IncomingMessage)).toMatchObject({ pathname, search });
});

test("a request for * has a target that is no URL: 0 paths", () => {
  expect(targetOf({ url: "*" } as IncomingMessage)).toBeUndefined();
});

test("a refusal is 1 whole HTTP response with its length, after which the socket ends", async () => {
  const socket = new PassThrough();

  answerOn(socket, problemOf(new TonetapError("overloaded", "all 200 places — é — are taken")));

  const [head = "", body = ""] = (await text(socket)).split("\r\n\r\n");
  const lines = head.split("\r\n");
  expect(lines[0]).toBe("HTTP/1.1 503 Service Unavailable");
  expect(lines).toContain("retry-after: 5");
  expect(lines).toContain("connection: close");
  expect(lines).toContain(`content-length: ${Buffer.byteLength(body)}`);
  expect(JSON.parse(body)).toMatchObject({ status: 503, detail: "all 200 places — é — are taken" });
});

test("a peer that is gone before its answer throws 0 errors", () => {
  const socket = new PassThrough();

  answerOn(socket, problemOf(new TonetapError("not-found", "no")));
  socket.emit("error", new RangeError("reset"));

  expect(socket.destroyed).toBe(true);
});
