/** The public door of events/. */
export { addAlertRoutes, alertOperations } from "./alert-routes.ts";
export { asyncApiDocument, type Json } from "./asyncapi.ts";
export { checkDoor, type DoorOptions } from "./door.ts";
export { emotionData, type Speaker, speechEndedData, speechStartedData } from "./event-data.ts";
export { type EventExamples, eventExamples } from "./event-examples.ts";
export { EventFactory, type EventFactoryOptions, subjectOf } from "./event-factory.ts";
export {
  compileFilter,
  type EventFilter,
  eventFilterSchema,
  filterFromQuery,
  parseFilter,
} from "./event-filter.ts";
export { eventLine } from "./event-line.ts";
export { type EventSourceOptions, EventSourceServer, listenToEvents } from "./event-source-server.ts";
export { EventStream } from "./event-stream.ts";
export { EventSubscription } from "./event-subscription.ts";
export { FlushSchedule } from "./flush-schedule.ts";
export {
  type HttpHandler,
  type HttpMethod,
  type HttpRequest,
  type HttpResponse,
  jsonBody,
  jsonResponse,
  problemResponse,
  type RouteOptions,
} from "./http-route.ts";
export { HttpServer, type HttpServerOptions, type TlsMaterial } from "./http-server.ts";
export {
  EventHub,
  type HubOptions,
  type HubStats,
  type StreamOptions,
  type SubscribeOptions,
} from "./hub.ts";
export {
  type AlertRule,
  type AlertRuleInput,
  alertRuleSchema,
  parseAlertRule,
} from "./insight/alert-rule.ts";
export { AlertRules } from "./insight/alert-rules.ts";
export { type InsightOptions, Insights } from "./insight/insights.ts";
export { type ListenOptions, runListen } from "./listen.ts";
export type { CallView, ParticipantView } from "./live-state.ts";
export { type AnyOperation, type Operation, operation, problemSchema } from "./operation.ts";
export {
  CLOSE_CODES,
  type ControlMessage,
  EVENTS_PATH,
  PROTOCOL,
  SUBPROTOCOLS,
  type SubscribeMessage,
} from "./protocol.ts";
export { PublishedEvent } from "./published-event.ts";
export { restPage } from "./rest-page.ts";
export {
  EVENT_DATA,
  EVENT_KINDS,
  EVENT_SCHEMAS,
  type EventData,
  type EventKind,
  type EventOf,
  type EventOfAny,
  kindOf,
  SCHEMA_VERSION,
  type TonetapEvent,
  tonetapEventSchema,
} from "./schema.ts";
export {
  addServiceRoutes,
  CALL_PARAMS,
  type ServiceRoutesOptions,
  serviceOperations,
} from "./service-routes.ts";
export { staticFiles } from "./static-files.ts";
export { type Authorize, SubscriberGate, type SubscriberRequest, type Visitor } from "./subscriber-gate.ts";
export { bar, column, type Paint, paint, safe } from "./terminal-text.ts";
export { TerminalView } from "./terminal-view.ts";
export { participantViewFields } from "./view-schema.ts";
export { parseSecret, signWebhook, verifyWebhook, type WebhookHeaders } from "./webhook/signature.ts";
export { addWebhookRoutes, webhookOperations } from "./webhook/webhook-routes.ts";
export type { WebhookStats } from "./webhook/webhook-sink.ts";
export { type WebhookTarget, webhookTargetSchema } from "./webhook/webhook-target.ts";
export { Webhooks } from "./webhook/webhooks.ts";
export { type EventSocketOptions, EventSocketServer, type EventSocketStats } from "./websocket-server.ts";
