import { afterEach, beforeEach, expect, test, vi } from "vitest";
// @ts-expect-error The page is JavaScript, which browsers read as it is: it has no declarations.
import { LiveStore } from "../../src/dashboard/live-store.js";

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse("2026-01-01T12:00:00.000Z") });
});
afterEach(() => {
  vi.useRealTimers();
});

function started(callId: string, time: string) {
  return { type: "tonetap.call.started", time, data: { callId } };
}

test("A page opened in mid-call tells its views when it learns how late it is", () => {
  const store = new LiveStore();
  const changes: string[] = [];
  store.listen(({ kind }: { kind: string }) => {
    changes.push(kind);
  });
  // Of the snapshot: the call has gone on for five minutes, which nothing says yet.
  store.apply(started("support-42", "2026-01-01T11:55:00.000Z"));
  expect(store.now()).toBe(Date.parse("2026-01-01T11:55:00.000Z") / 1000);
  changes.length = 0;

  // The first that has just been sent; this machine's clock is 0.4 s ahead of the service's.
  store.apply({ type: "tonetap.service.stats", time: "2026-01-01T11:59:59.600Z", data: {} });
  expect(changes).toEqual(["clock", "service.stats"]);
  expect(store.now()).toBe(Date.parse("2026-01-01T11:59:59.600Z") / 1000);

  // Neither a late one nor one that is a little less late makes every view write its times again.
  changes.length = 0;
  store.apply({ type: "tonetap.service.stats", time: "2026-01-01T11:59:58.000Z", data: {} });
  store.apply({ type: "tonetap.service.stats", time: "2026-01-01T11:59:59.700Z", data: {} });
  expect(changes).toEqual(["service.stats", "service.stats"]);
  expect(store.now()).toBe(Date.parse("2026-01-01T11:59:59.700Z") / 1000);
});
