/** What a connection of events begins with, whatever carries it: `hello`, and what cannot be made up for. */
import type { Clock } from "../core/clock.ts";
import type { Beginning, EventSubscription } from "./event-subscription.ts";
import type { EventHub } from "./hub.ts";
import { type ControlMessage, type HelloMessage, PROTOCOL } from "./protocol.ts";

export interface OpeningParts {
  readonly hub: EventHub;
  readonly clock: Clock;
  /** `source` of the hub's events. */
  readonly source: string;
  readonly subscription: EventSubscription;
  readonly beginning: Beginning;
  /** The hub's before it was subscribed to. */
  readonly position: string;
  readonly limits: HelloMessage["limits"];
}

export function openingMessages(parts: OpeningParts): readonly ControlMessage[] {
  const { hub, clock, source, subscription, beginning, position, limits } = parts;
  const { snapshot, replay, gap } = beginning;
  const hello: HelloMessage = {
    type: "hello",
    protocol: PROTOCOL,
    source,
    epoch: hub.epoch,
    time: new Date(clock.wall()).toISOString(),
    filter: subscription.filter,
    snapshot,
    replay,
    position,
    limits,
  };
  return gap === undefined ? [hello] : [hello, { type: "gap", ...gap, sequence: 0 }];
}
