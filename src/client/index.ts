/** `tonetap/client`: events of a running service, in a browser or in Node. Nothing but this folder runs. */

export type { EventFilter } from "../events/event-filter.ts";
export type { EventData, EventKind, EventOf, TonetapEvent } from "../events/schema.ts";
export {
  type ConnectionEvents,
  type ConnectionStatus,
  type ConnectOptions,
  connect,
  EventConnection,
  type EventGap,
  type EventObserver,
} from "./connection.ts";
