/**
 * The composition root: model, batcher, hub and the calls that use them. Opens in order, closes in reverse. One
 * participant's chain is participant.ts; HTTP and WebSocket are service.ts.
 */
import type { Observable } from "rxjs";
import { type Config, type ConfigInput, parseConfig } from "./config.ts";
import {
  type AudioSource,
  CONSENT_STATES,
  PARTICIPANT_ROLES,
  type ParticipantInfo,
  type ParticipantRole,
} from "./core/audio-source.ts";
import { type Clock, systemClock } from "./core/clock.ts";
import { TonetapError } from "./core/errors.ts";
import { type Closable, CloseStack } from "./core/lifecycle.ts";
import type { ModelManifest } from "./core/model.ts";
import type { MonotonicMs } from "./core/units.ts";
import { type EmotionUnit, WINDOW_PRIORITIES, type WindowOwner } from "./core/window.ts";
import {
  type EventData,
  EventFactory,
  EventHub,
  type EventKind,
  type EventStream,
  emotionData,
  type StreamOptions,
  speechEndedData,
  speechStartedData,
  type TonetapEvent,
} from "./events/index.ts";
import {
  type BackendDescription,
  type BatcherStats,
  findModel,
  loadModelPackage,
  ModelRuntime,
} from "./inference/index.ts";
import { modelOptions } from "./model-options.ts";
import { Participant, type ParticipantIdentity } from "./participant.ts";
import { ServiceMeter } from "./service-meter.ts";
import { createOpusDecoder } from "./stream/index.ts";

export interface EngineOptions {
  readonly clock?: Clock;
  /** Gives up opening. */
  readonly signal?: AbortSignal;
}

/** EU AI Act, Art. 5(1)(f): inferring emotions of people at work or in education is prohibited. */
const REFUSED_BY_EU: ReadonlySet<ParticipantRole> = new Set(["employee", "agent", "student"]);

interface Call {
  readonly startedMs: MonotonicMs;
  readonly participants: Map<string, Participant>;
  joined: number;
}

/**
 * Loads the model and gives an engine that participants can be attached to.
 * @throws TonetapError invalid-argument (configuration, model package), not-found (model), unavailable (device)
 */
export async function createEngine(config: ConfigInput = {}, options: EngineOptions = {}): Promise<Engine> {
  return Engine.open(parseConfig(config), options);
}

export class Engine implements Closable, AsyncDisposable {
  readonly config: Config;
  readonly clock: Clock;
  /** Its labels are the names in every emotion event. */
  readonly manifest: ModelManifest;
  readonly hub = new EventHub();
  readonly #model: ModelRuntime;
  readonly #factory: EventFactory;
  readonly #calls = new Map<string, Call>();
  readonly #resources: CloseStack;
  readonly #meter: ServiceMeter;
  /** Participants being attached, by call and id: they count and their names are taken. */
  readonly #attaching = new Set<string>();
  #participants = 0;
  #shuttingDown = false;
  #closing: Promise<void> | undefined;

  private constructor(config: Config, clock: Clock, model: ModelRuntime, resources: CloseStack) {
    this.config = config;
    this.clock = clock;
    this.#model = model;
    this.manifest = model.model.manifest;
    this.#resources = resources;
    this.#factory = new EventFactory({ instance: config.events.instance, clock });
    this.#meter = new ServiceMeter(clock);
    resources.defer(
      "quality timer",
      this.#every(config.events.qualityMs, () => this.#publishQuality()),
    );
    resources.defer(
      "stats timer",
      this.#every(config.events.statsMs, () => this.#publishStats()),
    );
  }

  /** See {@link createEngine}. */
  static async open(config: Config, { clock = systemClock, signal }: EngineOptions = {}): Promise<Engine> {
    const model = await loadModelPackage(await findModel(config.model.package), signal);
    const resources = new CloseStack();
    const runtime = await ModelRuntime.open(model, modelOptions(config), { clock, signal });
    return new Engine(config, clock, resources.use("model", runtime), resources);
  }

  /** Every event from the subscription on. An observer that is slow makes the engine slow: see {@link stream}. */
  get events$(): Observable<TonetapEvent> {
    return this.hub.events$;
  }

  /** Events as an async iterable with a bounded queue: begins with what is live, ends with the engine or the signal. */
  stream<K extends EventKind = EventKind>(options: StreamOptions<K> = {}): EventStream<K> {
    return this.hub.stream(options);
  }

  /** What runs the model, one a worker. */
  describeBackends(): BackendDescription[] {
    return this.#model.describeBackends();
  }

  get batcherStats(): BatcherStats {
    return this.#model.batcher.stats;
  }

  /** Undefined when calls can be taken; else why not, in words. */
  get notReady(): string | undefined {
    if (this.#shuttingDown) return "the engine is closing";
    const backends = this.describeBackends();
    const down = backends.filter(({ state }) => state !== "ready");
    if (down.length === backends.length) return `no model worker is ready: ${down[0]?.state}`;
    return undefined;
  }

  /**
   * Attaches one participant's audio. From here on the engine owns the source and closes it.
   * Analysis starts at once if consent is granted, else when it is.
   * @throws TonetapError invalid-argument (id), conflict (that participant is there already), policy (role),
   * overloaded (too many participants), closed
   */
  async attach(source: AudioSource, info: ParticipantInfo): Promise<Participant> {
    const { callId, participantId, consent = "pending", displayName } = info;
    const identity: ParticipantIdentity = {
      callId,
      participantId,
      role: info.role ?? "guest",
      ...(displayName === undefined ? {} : { displayName }),
    };
    this.#admit(identity, consent);
    const owner = ownerOf(info);
    const key = JSON.stringify([callId, participantId]);
    this.#attaching.add(key);
    try {
      const opus = await createOpusDecoder();
      if (this.#shuttingDown) {
        opus.close();
        throw new TonetapError("closed", "the engine is closing");
      }
      const call = this.#callOf(callId);
      this.#participants++;
      call.joined++;
      this.#publish("participant.joined", {
        ...identity,
        consent,
        paused: consent !== "granted",
        transport: source.kind,
      });
      const participant: Participant = new Participant(
        identity,
        consent,
        source,
        {
          clock: this.clock,
          config: this.config,
          manifest: this.manifest,
          batcher: this.#model.batcher,
          owner,
        },
        {
          onUnit: (unit) => this.#publishUnit(identity, unit),
          onPaused: (reason) => this.#publish("participant.paused", { ...speakerOf(identity), reason }),
          onResumed: (reason) => this.#publish("participant.resumed", { ...speakerOf(identity), reason }),
          onEnded: (error) => this.#left(call, participant, error),
        },
        opus,
      );
      call.participants.set(participantId, participant);
      return participant;
    } finally {
      this.#attaching.delete(key);
    }
  }

  /** @throws TonetapError not-found */
  participant(callId: string, participantId: string): Participant {
    const participant = this.#calls.get(callId)?.participants.get(participantId);
    if (participant === undefined) {
      throw new TonetapError("not-found", `there is no participant ${participantId} in a call ${callId}`);
    }
    return participant;
  }

  /** Detaches everyone, lets windows under way be answered, closes the model and then the events. */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Takes no one any more and detaches everyone; their last windows are answered and told. */
  async drain(): Promise<void> {
    this.#shuttingDown = true;
    const participants = [...this.#calls.values()].flatMap((call) => [...call.participants.values()]);
    await Promise.allSettled(participants.map((participant) => participant.close()));
  }

  async #closeAll(): Promise<void> {
    await this.drain();
    try {
      await this.#resources.close();
    } finally {
      await this.hub.close();
    }
  }

  #admit(identity: ParticipantIdentity, consent: string): void {
    const { callId, participantId, role } = identity;
    if (this.#shuttingDown) throw new TonetapError("closed", "the engine is closing");
    assertId("callId", callId);
    assertId("participantId", participantId);
    assertOneOf("role", role, PARTICIPANT_ROLES);
    assertOneOf("consent", consent, CONSENT_STATES);
    if (this.config.policy === "eu" && REFUSED_BY_EU.has(role)) {
      throw new TonetapError(
        "policy",
        `policy eu refuses the role ${role}: inferring emotions of people at work or in education is prohibited ` +
          '(EU AI Act, Art. 5(1)(f)); policy "none" is your own responsibility',
      );
    }
    const taken =
      this.#attaching.has(JSON.stringify([callId, participantId])) ||
      this.#calls.get(callId)?.participants.has(participantId) === true;
    if (taken)
      throw new TonetapError("conflict", `participant ${participantId} is in call ${callId} already`);
    const limit = this.config.service.maxParticipants;
    if (this.#participants + this.#attaching.size >= limit) {
      throw new TonetapError("overloaded", `service.maxParticipants is ${limit}, and so many are attached`);
    }
  }

  #callOf(callId: string): Call {
    const known = this.#calls.get(callId);
    if (known !== undefined) return known;
    const call: Call = { startedMs: this.clock.now(), participants: new Map(), joined: 0 };
    this.#calls.set(callId, call);
    this.#publish("call.started", { callId });
    return call;
  }

  #left(call: Call, participant: Participant, error: TonetapError | undefined): void {
    const { callId, participantId } = participant.identity;
    this.#publishQualityOf(participant);
    call.participants.delete(participantId);
    this.#participants--;
    const now = this.clock.now();
    this.#publish("participant.left", {
      ...speakerOf(participant.identity),
      reason: this.#shuttingDown ? "shutdown" : leftReason(participant, error),
      ...(error === undefined ? {} : { error: failureOf(error) }),
      durationMs: now - participant.joinedMs,
      windows: participant.windows,
    });
    if (call.participants.size > 0 || this.#calls.get(callId) !== call) return;
    this.#calls.delete(callId);
    this.#publish("call.ended", {
      callId,
      reason: this.#shuttingDown ? "shutdown" : "empty",
      durationMs: now - call.startedMs,
      participants: call.joined,
    });
  }

  #publish<K extends EventKind>(kind: K, data: EventData<K>): void {
    this.hub.publish(this.#factory.create(kind, data) as TonetapEvent);
  }

  #publishUnit(identity: ParticipantIdentity, unit: EmotionUnit): void {
    switch (unit.kind) {
      case "emotion": {
        const now = this.clock.now();
        this.#meter.latency.record(now - unit.arrivalMs);
        this.#publish("emotion", emotionData(identity, unit, this.manifest.labels, now));
        break;
      }
      case "speech":
        if (unit.state === "started") this.#publish("speech.started", speechStartedData(identity, unit));
        else this.#publish("speech.ended", speechEndedData(identity, unit));
        break;
      // Counted by the participant, told by quality events.
      case "gated":
      case "dropped":
        break;
      default:
        unit satisfies never;
    }
  }

  #publishQuality(): void {
    for (const call of this.#calls.values()) {
      for (const participant of call.participants.values()) this.#publishQualityOf(participant);
    }
  }

  #publishQualityOf(participant: Participant): void {
    this.#publish("quality", {
      ...speakerOf(participant.identity),
      ...participant.takeQuality(),
    });
  }

  #publishStats(): void {
    const hub = this.hub.stats;
    const [backend] = this.describeBackends();
    this.#publish("service.stats", {
      calls: this.#calls.size,
      participants: this.#participants,
      subscribers: hub.subscribers,
      backend: `${backend?.engine.split(" ")[0] ?? ""}/${backend?.provider ?? ""}`,
      model: backend?.model ?? "",
      droppedEvents: hub.dropped,
      ...this.#meter.take(this.batcherStats),
    });
  }

  #every(periodMs: number, task: () => void): () => void {
    return this.clock.repeat(periodMs, task);
  }
}

const speakerOf = ({ callId, participantId, role }: ParticipantIdentity) => ({ callId, participantId, role });

/** @throws TonetapError invalid-argument */
function ownerOf({ callId, tenant = "", priority = "normal" }: ParticipantInfo): WindowOwner {
  if (tenant !== "") assertId("tenant", tenant);
  assertOneOf("priority", priority, WINDOW_PRIORITIES);
  return { call: callId, tenant, priority };
}

const failureOf = ({ code, message, retryable }: TonetapError) => ({ code, message, retryable });

function leftReason(
  { source }: Participant,
  error: TonetapError | undefined,
): "left" | "inactive" | "failed" {
  if (error !== undefined) return "failed";
  return source.timedOut === true ? "inactive" : "left";
}

/** @throws TonetapError invalid-argument */
function assertId(name: string, value: string): void {
  if (typeof value !== "string" || !/^[^\p{C}]{1,128}$/u.test(value)) {
    throw new TonetapError(
      "invalid-argument",
      `${name} must be 1–128 printable characters, got ${JSON.stringify(value)?.slice(0, 160)}`,
    );
  }
}

/** @throws TonetapError invalid-argument */
function assertOneOf(name: string, value: string, allowed: readonly string[]): void {
  if (!allowed.includes(value)) {
    throw new TonetapError(
      "invalid-argument",
      `${name} must be one of ${allowed.join(", ")}, got ${JSON.stringify(value)}`,
    );
  }
}
