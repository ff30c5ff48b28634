/** The public door of events/. */
export { emotionData, type Speaker, speechEndedData, speechStartedData } from "./event-data.ts";
export { EventFactory, type EventFactoryOptions, subjectOf } from "./event-factory.ts";
export {
  EVENT_DATA,
  EVENT_KINDS,
  EVENT_SCHEMAS,
  type EventData,
  type EventKind,
  type EventOf,
  kindOf,
  SCHEMA_VERSION,
  type TonetapEvent,
  tonetapEventSchema,
} from "./schema.ts";
