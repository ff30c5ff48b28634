/** The engine behind HTTP: page, events and media over WebSocket, WHIP; SIP and AudioSocket beside it. Opens in order, closes in reverse; knows no command line. */
import { AuditLog, Refusals, recordCalls } from "./audit/index.ts";
import { type Config, type ConfigInput, parseConfig } from "./config.ts";
import { systemClock } from "./core/clock.ts";
import type { TonetapError } from "./core/errors.ts";
import { type Closable, CloseStack } from "./core/lifecycle.ts";
import { createEngine, type Engine, type EngineOptions } from "./engine.ts";
import {
  type Authorize,
  addAlertRoutes,
  addServiceRoutes,
  addWebhookRoutes,
  EventSocketServer,
  EventSourceServer,
  FlushSchedule,
  HttpServer,
  SubscriberGate,
  Webhooks,
} from "./events/index.ts";
import { openAudioSocketDoor, openMediaDoor } from "./media-door.ts";
import { addModelRoutes } from "./model-routes.ts";
import { addMetricsRoute, ServiceMetrics, traceWindows } from "./observability/index.ts";
import { openApiDocument } from "./openapi.ts";
import { addPage, addWhipRoutes } from "./page-routes.ts";
import { addParticipantRoutes } from "./participant-routes.ts";
import { addRtpRoutes } from "./rtp-routes.ts";
import {
  eventsAuthorization,
  isLoopback,
  mediaAuthorization,
  openAuthority,
  whipAuthorization,
} from "./service-access.ts";
import { openSipDoor } from "./sip-door.ts";
import { TlsFiles } from "./tls-files.ts";
import type { AudioSocketServer } from "./transport/audiosocket/index.ts";
import type { SipServer } from "./transport/sip/index.ts";
import type { MediaSocketOptions } from "./transport/websocket-media/index.ts";
// Not by its door, which loads werift: connections may be in shards.
import { iceServers, type TurnAccess } from "./transport/werift/ice-servers.ts";
import { createWhipEndpoint, type WhipEndpointOptions } from "./transport/werift/whip-server.ts";

export interface ServiceOptions extends EngineOptions {
  /** Told of defects that a request met. */
  readonly onError?: (error: TonetapError) => void;
  /** Says who may publish over WHIP, instead of `whip.tokens` and the keys and tokens of `auth`. */
  readonly authorizeWhip?: NonNullable<WhipEndpointOptions["authorize"]>;
  /** Says who may send media over WebSocket, instead of `media.tokens` and the keys and tokens of `auth`. */
  readonly authorizeMedia?: NonNullable<MediaSocketOptions["authorize"]>;
  /** Says who may subscribe to events and what of them it sees, instead of the keys and tokens of `auth`. */
  readonly authorizeEvents?: Authorize;
}

/** A running service. */
export class Service implements Closable, AsyncDisposable {
  readonly engine: Engine;
  readonly url: URL;
  readonly http: HttpServer;
  /** Takes calls where the configuration names a transport for them. */
  readonly sip: SipServer | undefined;
  /** Takes calls of Asterisk where the configuration has it listened for. */
  readonly audioSocket: AudioSocketServer | undefined;
  readonly #tls: TlsFiles | undefined;
  readonly #resources: CloseStack;

  private constructor(
    engine: Engine,
    http: HttpServer,
    url: URL,
    { sip, audioSocket }: Pick<Service, "sip" | "audioSocket">,
    tls: TlsFiles | undefined,
    resources: CloseStack,
  ) {
    this.engine = engine;
    this.http = http;
    this.url = url;
    this.sip = sip;
    this.audioSocket = audioSocket;
    this.#tls = tls;
    this.#resources = resources;
  }

  /** @throws TonetapError as createEngine(), and conflict when the port is taken */
  static async open(config: ConfigInput = {}, options: ServiceOptions = {}): Promise<Service> {
    const resources = new CloseStack();
    try {
      const checked = parseConfig(config);
      const onError = options.onError ?? (() => undefined);
      const time = options.clock ?? systemClock;
      // First: who forgot the keys need not wait for the model to learn it.
      const authority = resources.use("keys", await openAuthority(checked, time, onError));
      const tls = await TlsFiles.open({ service: checked.service, clock: time, onError });
      const engine = resources.use("engine", await createEngine(checked, options));
      const { clock, hub } = engine;
      const audit = await openAudit(engine, resources, onError);
      const refusals =
        audit === undefined ? undefined : resources.use("refusals", new Refusals(audit, clock));
      const refusedAt = (door: string) => (error: TonetapError, source?: string) =>
        refusals?.add({ door, error, source });
      const { service, whip, events } = engine.config;
      const door = { allowedHosts: service.allowedHosts, allowedOrigins: service.allowedOrigins };
      const http = resources.use(
        "HTTP",
        new HttpServer({
          ...door,
          clock,
          identify: (headers) => authority.identifyRequest(headers),
          onRefused: (error, { socket }) => refusedAt("http")(error, socket.remoteAddress),
          ...(options.onError === undefined ? {} : { onError: options.onError }),
          ...(tls === undefined ? {} : { tls: tls.material }),
        }),
      );
      if (tls !== undefined) resources.use("certificate", tls).watch((material) => http.renewTls(material));
      const authorizeMedia = options.authorizeMedia ?? mediaAuthorization(checked, authority);
      const media = resources.use(
        "media",
        openMediaDoor(engine, http, door, authorizeMedia, refusedAt("media")),
      );
      const subscribers = {
        source: `/tonetap/${events.instance}`,
        gate: new SubscriberGate({
          maxSubscribers: service.maxSubscribers,
          authorize: options.authorizeEvents ?? eventsAuthorization(authority),
        }),
        schedule: new FlushSchedule(clock),
        clock,
      };
      resources.use(
        "event sockets",
        new EventSocketServer(http.server, hub, {
          ...door,
          ...subscribers,
          servedElsewhere: (path) => media.serves(path),
          onRefused: (error, { socket }) => refusedAt("events")(error, socket.remoteAddress),
        }),
      );
      resources.use("event sources", new EventSourceServer(http, hub, subscribers));
      const webhooks = resources.use("webhooks", new Webhooks(hub, engine.config.webhooks.targets, clock));
      // Closed before them: subscribers are told that this was all.
      resources.defer("events", () => hub.close());
      const endpoint = resources.use(
        "WHIP",
        createWhipEndpoint({
          clock,
          openPeer: engine.media.openWhip,
          ...(options.onError === undefined ? {} : { onError: options.onError }),
          ...(options.authorizeWhip === undefined
            ? whipAuthorization(checked, authority)
            : { authorize: options.authorizeWhip }),
          iceServers: iceServers(whip.iceServers, turnAccess(whip), clock),
          iceRelay: whip.iceRelay,
          // A browser on this machine must reach a service that listens to this machine only.
          iceAdditionalHostAddresses: isLoopback(service.host)
            ? ["127.0.0.1", ...whip.hostAddresses]
            : whip.hostAddresses,
          inactivityMs: whip.inactivityMs,
          maxPacketsPerSecond: engine.config.rtp.maxPacketsPerSecond,
          maxSessions: whip.maxSessions,
          allowedOrigins: service.allowedOrigins,
          onSession: async (source, { participant }) => {
            await engine.attach(source, participant);
          },
        }),
      );
      const sip = await openSipDoor(engine, options.onError, refusedAt("sip"));
      if (sip !== undefined) resources.use("SIP", sip);
      const audioSocket = await openAudioSocketDoor(engine, http, options.onError, refusedAt("audiosocket"));
      if (audioSocket !== undefined) resources.use("AudioSocket", audioSocket);
      // Closed before the sockets: subscribers are told that everyone has left.
      resources.defer("calls", () => engine.drain());
      addAlertRoutes(http, hub, engine.alertRules);
      addWebhookRoutes(http, webhooks);
      addServiceRoutes(http, {
        hub,
        notReady: () => engine.notReady ?? audit?.failure?.message,
        backends: () => engine.describeBackends(),
        openApi: openApiDocument(),
      });
      addRtpRoutes(http, engine);
      addParticipantRoutes(http, engine);
      addModelRoutes(http, engine);
      addMetricsRoute(http, resources.use("metrics", new ServiceMetrics(engine)));
      const { sampleEvery } = engine.config.tracing;
      if (sampleEvery > 0) resources.use("tracing", traceWindows(engine, sampleEvery));
      addWhipRoutes(http, endpoint);
      addPage(http);
      const url = await http.listen(service.host, service.port);
      return new Service(engine, http, url, { sip, audioSocket }, tls, resources);
    } catch (error) {
      await resources.close();
      throw error;
    }
  }

  /**
   * Reads certificate and key anew, at once; they are read by themselves within some seconds of a change.
   * @returns whether there are any
   * @throws TonetapError invalid-argument saying what is not good; what was before stays in force
   */
  async renewCertificate(): Promise<boolean> {
    await this.#tls?.reload();
    return this.#tls !== undefined;
  }

  close(): Promise<void> {
    return this.#resources.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** What happens while nobody can write it down must not happen: a service whose log has failed is not ready. */
async function openAudit(
  engine: Engine,
  resources: CloseStack,
  onError: (error: TonetapError) => void,
): Promise<AuditLog | undefined> {
  const { audit, policy, events } = engine.config;
  if (audit.file === "") return undefined;
  const log = resources.use("audit log", await AuditLog.open(audit.file, { clock: engine.clock, onError }));
  log.append("service.started", { instance: events.instance, policy, model: engine.models.id });
  resources.defer("audit", recordCalls(log, engine.events$, engine.models.id));
  return log;
}

function turnAccess({
  turnSecret,
  turnTtlS,
  turnUsername,
  turnCredential,
}: Config["whip"]): TurnAccess | undefined {
  if (turnSecret !== "") return { secret: turnSecret, ttlS: turnTtlS };
  return turnUsername === "" ? undefined : { username: turnUsername, credential: turnCredential };
}
