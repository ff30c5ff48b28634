/**
 * The composition root: model, batcher, hub and the calls that use them. Opens in order, closes in reverse. One
 * participant's chain is participant.ts; HTTP and WebSocket are service.ts.
 */
import type { Observable } from "rxjs";
import { assertAdmissible, callIdOf, windowOwner } from "./admission.ts";
import { type Call, CallRegistry, failureOf, speakerOf } from "./calls.ts";
import { type Config, type ConfigInput, parseConfig } from "./config.ts";
import type { AudioSource, ParticipantInfo } from "./core/audio-source.ts";
import type { Clock } from "./core/clock.ts";
import { TonetapError } from "./core/errors.ts";
import { type CloseStack, ClosesOnce } from "./core/lifecycle.ts";
import type { ModelManifest } from "./core/model.ts";
import type { EmotionUnit } from "./core/window.ts";
import { type EngineOptions, type EngineParts, openEngineParts } from "./engine-parts.ts";
import {
  type AlertRules,
  type EventData,
  EventFactory,
  EventHub,
  type EventKind,
  type EventStream,
  emotionData,
  Insights,
  type StreamOptions,
  speechEndedData,
  speechStartedData,
  type TonetapEvent,
} from "./events/index.ts";
import type { BackendDescription, BatcherStats, ModelHost } from "./inference/index.ts";
import { LoadGuard, type LoadReport } from "./load-guard.ts";
import type { MediaHost } from "./media-host.ts";
import type { NoticeHook, NoticeTerms } from "./notice/index.ts";
import { noticeTerms } from "./notice-terms.ts";
import { Participant } from "./participant.ts";
import type { ParticipantIdentity } from "./participant-contract.ts";
import type { ParticipantMedia, PreparedAnalysis } from "./participant-media.ts";
import { ServiceMeter, serviceStats } from "./service-meter.ts";

export type { EngineOptions } from "./engine-parts.ts";

/**
 * Loads the model and gives an engine that participants can be attached to.
 * @throws TonetapError invalid-argument (configuration, model package), not-found (model), unavailable (device)
 */
export async function createEngine(config: ConfigInput = {}, options: EngineOptions = {}): Promise<Engine> {
  return Engine.open(parseConfig(config), options);
}

export class Engine extends ClosesOnce {
  readonly config: Config;
  readonly clock: Clock;
  readonly hub: EventHub;
  /** What judges windows, and how that is changed while calls go on. */
  readonly models: ModelHost;
  /** Where participants' audio is worked on: open UDP ports here. */
  readonly media: MediaHost;
  readonly #factory: EventFactory;
  /** What alerts are raised by. */
  readonly alertRules: AlertRules;
  readonly #insights: Insights;
  readonly #calls: CallRegistry;
  readonly #resources: CloseStack;
  readonly #meter: ServiceMeter;
  readonly #notice: NoticeTerms | undefined;
  readonly #guard: LoadGuard;
  /** Participants being attached, by call and id: they count and their names are taken. */
  readonly #attaching = new Set<string>();
  #participants = 0;
  #shuttingDown = false;

  private constructor(config: Config, { clock, models, media, rules, notice, resources }: EngineParts) {
    super();
    this.config = config;
    this.clock = clock;
    this.models = models;
    this.media = media;
    this.#resources = resources;
    this.#factory = new EventFactory({ instance: config.events.instance, clock });
    const { replayMs, replayMiB } = config.events;
    this.hub = new EventHub({
      epoch: this.#factory.epoch,
      replay: { maxAgeMs: replayMs, maxBytes: replayMiB * 2 ** 20 },
      clock,
    });
    this.#calls = new CallRegistry(clock, (kind, data) => this.#publish(kind, data));
    this.alertRules = rules;
    this.#notice = notice;
    const { stateMs, stateTimeConstantMs } = config.events;
    this.#insights = resources.use(
      "insights",
      new Insights({
        clock,
        rules: this.alertRules,
        stateMs,
        stateTimeConstantMs,
        epoch: this.#factory.epoch,
        publish: (kind, data) => this.#publish(kind, data),
      }),
    );
    this.#meter = new ServiceMeter(clock);
    this.#guard = resources.use(
      "load guard",
      new LoadGuard({
        clock,
        config: config.overload,
        models,
        participants: () => this.#participants,
        others: () => media.shards.map(({ utilization }) => utilization),
      }),
    );
    const { qualityMs, statsMs } = config.events;
    resources.defer(
      "quality timer",
      clock.repeat(qualityMs, () => this.#publishQuality()),
    );
    resources.defer(
      "stats timer",
      clock.repeat(statsMs, () => this.#publishStats()),
    );
  }

  /** See {@link createEngine}. */
  static async open(config: Config, options: EngineOptions = {}): Promise<Engine> {
    return new Engine(config, await openEngineParts(config, options));
  }

  /** Every event from the subscription on. An observer that is slow makes the engine slow: see {@link stream}. */
  get events$(): Observable<TonetapEvent> {
    return this.hub.events$;
  }

  /** Events as an async iterable with a bounded queue: begins with what is live, ends with the engine or the signal. */
  stream<K extends EventKind = EventKind>(options: StreamOptions<K> = {}): EventStream<K> {
    return this.hub.stream(options);
  }

  /** The model in force; its labels are the names in every emotion event. */
  get manifest(): ModelManifest {
    return this.models.manifest;
  }

  /** What runs the model, one a worker. */
  describeBackends(): BackendDescription[] {
    return this.models.describeBackends();
  }

  get batcherStats(): BatcherStats {
    return this.models.stats;
  }

  /** How busy its threads are, and what is given up for that. */
  get load(): LoadReport {
    return this.#guard.report();
  }

  /** Undefined when calls can be taken; else why not, in words. */
  get notReady(): string | undefined {
    if (this.#shuttingDown) return "the engine is closing";
    if (this.#guard.refusing) return "overloaded: new participants are refused for the time being";
    const backends = this.describeBackends();
    const down = backends.filter(({ state }) => state !== "ready");
    if (down.length === backends.length) return `no model worker is ready: ${down[0]?.state}`;
    const { shards } = this.media;
    return shards.length > 0 && !shards.some(({ up }) => up) ? "no shard is up" : undefined;
  }

  /**
   * Attaches one participant's audio. From here on the engine owns the source and closes it.
   * Analysis starts at once if consent is granted and no notice is owed, else when that is so.
   * @param notice tells this one, instead of whoever tells the others
   * @throws TonetapError invalid-argument (id), conflict (that participant is there already), policy (role),
   * overloaded (too many participants), closed
   */
  async attach(
    source: AudioSource,
    info: ParticipantInfo,
    { notice: own }: { readonly notice?: NoticeHook } = {},
  ): Promise<Participant> {
    const { participantId, consent = "pending", displayName } = info;
    const callId = callIdOf(info);
    const identity: ParticipantIdentity = {
      callId,
      participantId,
      role: info.role ?? "guest",
      ...(displayName === undefined ? {} : { displayName }),
    };
    this.#admit(identity, consent);
    const owner = windowOwner({ ...info, callId });
    const notice = own === undefined ? this.#notice : noticeTerms(this.config, this.clock, own);
    const key = JSON.stringify([callId, participantId]);
    this.#attaching.add(key);
    try {
      const { clock, config, manifest } = this;
      const media = await this.media.open(source, {
        normalisation: manifest.normalisation,
        scales: () => this.models.scalesOf(callId),
        pace: () => this.#guard.paceOf(owner.priority ?? "normal"),
        needsFreshOnly: (window) => this.models.needsFreshOnly(key, window, owner),
      });
      const first = await media.prepare().catch((error: unknown) => {
        media.abandon();
        throw error;
      });
      const call = this.#openCall(callId, media, first);
      this.#participants++;
      call.joined++;
      this.#publish("participant.joined", {
        ...identity,
        consent,
        paused: consent !== "granted" || notice?.required === true,
        transport: source.kind,
      });
      const participant: Participant = new Participant(
        identity,
        { consent, keys: config.consent, notice },
        media,
        {
          clock,
          config,
          manifest,
          batcher: this.models,
          modelOf: (id) => this.models.manifestOf(id),
          owner,
        },
        {
          onUnit: (unit) => this.#publishUnit(identity, unit),
          onPaused: (reason, speech) => {
            const speaker = speakerOf(identity);
            // Without consent nothing more is told of what was heard.
            if (reason !== "operator") this.#insights.forget(speaker);
            if (speech !== undefined) this.#publishUnit(identity, speech);
            this.#publish("participant.paused", { ...speaker, reason });
          },
          onResumed: (reason) => this.#publish("participant.resumed", { ...speakerOf(identity), reason }),
          onDiscarded: (reason, windows) =>
            this.#publish("participant.discarded", { ...speakerOf(identity), reason, windows }),
          onConsent: (to, previous, by) =>
            this.#publish("participant.consent", { ...speakerOf(identity), consent: to, previous, by }),
          onNotice: (news) => this.#publish("participant.notice", { ...speakerOf(identity), ...news }),
          onMoved: (error) =>
            this.#publish("participant.recovered", { ...speakerOf(identity), error: failureOf(error) }),
          onEnded: (error) => {
            this.#publishQualityOf(participant);
            this.#participants--;
            this.#calls.left(call, participant, error, this.#shuttingDown);
          },
        },
        first,
      );
      call.participants.set(participantId, participant);
      return participant;
    } finally {
      this.#attaching.delete(key);
    }
  }

  /** @throws TonetapError not-found */
  participant(callId: string, participantId: string): Participant {
    const participant = this.findParticipant(callId, participantId);
    if (participant === undefined) {
      throw new TonetapError("not-found", `there is no participant ${participantId} in a call ${callId}`);
    }
    return participant;
  }

  findParticipant(callId: string, participantId: string): Participant | undefined {
    return this.#calls.find(callId, participantId);
  }

  /**
   * Detaches everyone in a call: `participant.left` with reason `removed`, then `call.ended` with `closed`.
   * @throws TonetapError not-found
   */
  endCall(callId: string): Promise<void> {
    return this.#calls.end(callId);
  }

  /**
   * For a platform whose call broke down as a whole (its room or its server is gone): `call.failed`, then everyone
   * leaves with reason `failed`, then `call.ended`. Other calls are not touched.
   * @throws TonetapError not-found
   */
  failCall(callId: string, error: TonetapError): Promise<void> {
    return this.#calls.end(callId, error);
  }

  /** Takes no one any more and detaches everyone; their last windows are answered and told. */
  async drain(): Promise<void> {
    this.#shuttingDown = true;
    await Promise.allSettled([...this.#calls.participants()].map((participant) => participant.close()));
  }

  /** Detaches everyone, lets windows under way be answered, closes the model and then the events. */
  protected async release(): Promise<void> {
    await this.drain();
    try {
      await this.#resources.close();
    } finally {
      await this.hub.close();
    }
  }

  #admit(identity: ParticipantIdentity, consent: string): void {
    const { callId, participantId } = identity;
    if (this.#shuttingDown) throw new TonetapError("closed", "the engine is closing");
    assertAdmissible(identity, consent, this.config.policy);
    const taken =
      this.#attaching.has(JSON.stringify([callId, participantId])) ||
      this.#calls.find(callId, participantId) !== undefined;
    if (taken)
      throw new TonetapError("conflict", `participant ${participantId} is in call ${callId} already`);
    const limit = this.config.service.maxParticipants;
    if (this.#participants + this.#attaching.size >= limit) {
      throw new TonetapError("overloaded", `service.maxParticipants is ${limit}, and so many are attached`);
    }
    this.#guard.admit();
  }

  /** The world may have changed while the decoder was made: nobody else would close it. */
  #openCall(callId: string, media: ParticipantMedia, first: PreparedAnalysis): Call {
    try {
      if (this.#shuttingDown) throw new TonetapError("closed", "the engine is closing");
      return this.#calls.open(callId);
    } catch (error) {
      first.discard();
      media.abandon();
      throw error;
    }
  }

  #publish<K extends EventKind>(kind: K, data: EventData<K>): void {
    this.#insights.before(kind, data);
    const event = this.#factory.create(kind, data) as TonetapEvent;
    this.hub.publish(event);
    this.#insights.after(event);
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
        if (unit.reason === "overload") this.#guard.countShed();
        break;
      case "dropped":
        break;
      default:
        unit satisfies never;
    }
  }

  #publishQuality(): void {
    for (const participant of this.#calls.participants()) this.#publishQualityOf(participant);
  }

  #publishQualityOf(participant: Participant): void {
    this.#publish("quality", {
      ...speakerOf(participant.identity),
      ...participant.takeQuality(),
    });
  }

  #publishStats(): void {
    const counted = this.#meter.take(this.batcherStats);
    const numbers = { calls: this.#calls.size, participants: this.#participants };
    this.#publish("service.stats", { ...numbers, ...serviceStats(this), ...counted, load: this.load });
  }
}
