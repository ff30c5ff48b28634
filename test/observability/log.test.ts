import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { TonetapError } from "../../src/core/errors.ts";
import {
  EventFactory,
  EventHub,
  type EventKind,
  eventExamples,
  type TonetapEvent,
} from "../../src/events/index.ts";
import { createLog, logCalls, logDefect } from "../../src/observability/index.ts";

function logOf(format: "json" | "pretty", write: (hub: EventHub) => void): string {
  const out = new PassThrough();
  const hub = new EventHub();
  const log = createLog({ level: "debug", format, out });
  logCalls({ hub }, log);
  write(hub);
  logDefect(log, new TonetapError("internal", "a defect"));
  return String(out.read() ?? "");
}

/** Every kind of event there is, once. */
function publishAll(hub: EventHub): void {
  for (const event of Object.values(eventExamples())) hub.publish(event as TonetapEvent);
}

test("of all kinds of events the log tells 12 lines with call ids, and nothing that a voice expressed", () => {
  const text = logOf("json", publishAll);
  const lines = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(lines).toHaveLength(12);
  for (const line of lines.slice(0, -1)) expect(line.callId).toBe("support-4711");
  expect(lines.at(-1)).toMatchObject({ level: "error", code: "internal", msg: "defect: a defect" });
  expect(text).not.toMatch(
    /angry|scores|valence|arousal|speech|utterance|alert|confidence|displayName|Ada L/,
  );
});

test("1 call id full of control characters reaches a terminal without them", () => {
  const factory = new EventFactory({ instance: "test", clock: systemClock });
  const text = logOf("pretty", (hub) => {
    hub.publish(
      factory.create("call.started" satisfies EventKind, { callId: "a\u001b[2Jb\nc" }) as TonetapEvent,
    );
  });
  const [line] = text.split("\n");
  expect(line).toMatch(/^\d\d:\d\d:\d\d info {2}call started {2}callId=a�\[2Jb�c$/);
});
