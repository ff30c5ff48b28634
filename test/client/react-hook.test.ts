/** The store under examples/react/use-tonetap.ts, against the real service. */
import { expect, test, vi } from "vitest";
import { eventExamples } from "../../src/events/event-examples.ts";
import { ADA, joinedOf, startService, until } from "../events/support.ts";

// React is not installed here; the store beneath the hook is what does the work.
vi.mock("react", () => ({ useMemo: undefined, useSyncExternalStore: undefined }));
vi.mock("tonetap/client", async () => import("../../src/client/index.ts"));

test("a React store shows 1 participant, what it expresses, its alert, and lets go of the connection with its last reader", async () => {
  const { createCallStore } = await import("../../examples/react/use-tonetap.ts");
  await using service = await startService();
  const { hub, factory } = service;
  hub.publish(factory.create("call.started", { callId: ADA.callId }));
  hub.publish(factory.create("participant.joined", { ...joinedOf(ADA), displayName: "Ada L." }));
  const store = createCallStore(service.url.href, ADA.callId);
  let changes = 0;
  const leave = store.subscribe(() => changes++);
  await until(() => store.getSnapshot().participants.length === 1);
  hub.publish(factory.create("participant.state", { ...eventExamples()["participant.state"].data, ...ADA }));
  hub.publish(factory.create("alert.raised", { ...eventExamples()["alert.raised"].data, ...ADA }));
  await until(() => store.getSnapshot().participants[0]?.alerts.length === 1);
  expect(store.getSnapshot()).toEqual({
    state: "open",
    participants: [
      {
        id: "ada",
        name: "Ada L.",
        speaking: false,
        line: "angry, rising for 20 s",
        alerts: ["A customer is upset"],
      },
    ],
  });
  // React compares snapshots: the same one while nothing changes.
  expect(store.getSnapshot()).toBe(store.getSnapshot());
  expect(changes).toBeGreaterThan(3);
  leave();
  await until(() => service.hub.stats.subscribers === 0);
});
