/**
 * What the main thread and a shard say to each other. Packets of sources on the main thread, features of windows and
 * counters never travel here: they lie in shared memory (packet-ring.ts, window-mailbox.ts, counters.ts).
 */
import type { ErrorCode } from "../core/errors.ts";
import type { FeatureSpec } from "../core/feature-spec.ts";
import type { ModelManifest, Normalisation } from "../core/model.ts";
import type { CodecMap, RtpPacket, SenderReport } from "../core/rtp.ts";
import type { MonotonicMs } from "../core/units.ts";
import type { FeatureWindow, HeardUnit, WindowScales } from "../core/window.ts";
import type { RtpDoorOptions } from "../media-host.ts";
import type { AnalysisStart } from "../participant-media.ts";
import type { UdpAddress } from "../transport/index.ts";
import type { SipAgreement, SipReceptionOptions } from "../transport/sip/index.ts";
import type { IcePatch, IcePatched, WhipAnswer, WhipPeerOptions } from "../transport/werift/whip-peer.ts";
import type { WindowParts } from "../window-chain.ts";
import type { CounterMemory } from "./counters.ts";
import type { DepartureMemory } from "./departures.ts";
import type { HeartbeatMemory } from "./heartbeat.ts";
import type { RestMemory } from "./pacer.ts";
import type { PacketRingMemory } from "./packet-ring.ts";
import type { WindowMailboxMemory } from "./window-mailbox.ts";

/** What a shard is started with. */
export interface ShardSetup {
  /** The main thread's sharedOffsetMs(): both clocks tell the same time. */
  readonly clockOffsetMs: number;
  readonly config: WindowParts["config"];
  readonly features: FeatureSpec;
  readonly window: ModelManifest["window"];
  readonly heartbeat: HeartbeatMemory;
  readonly rested: RestMemory;
  readonly departures: DepartureMemory;
  /** Windows that are a batch: as many wait for no others. */
  readonly batch: number;
  readonly ring: PacketRingMemory;
  readonly mailbox: WindowMailboxMemory;
}

/** Every kind of source that a shard opens itself: what it is opened with, what it may be asked later, and both answers. */
export interface ShardSources {
  readonly rtp: SourceTypes<RtpDoorOptions, OpenedRtp, never, never>;
  readonly whip: SourceTypes<WhipPeerOptions, WhipAnswer, IcePatch, IcePatched>;
  readonly sip: SourceTypes<HostedSipOptions, OpenedSip, SipAgreement, void>;
  readonly "sip-voice": SourceTypes<HostedVoiceOptions, object, Pick<HostedVoiceOptions, "held">, void>;
}

interface SourceTypes<Options, Opened, Question, Answer> {
  readonly options: Options;
  readonly opened: Opened;
  readonly question: Question;
  readonly answer: Answer;
}

export type SourceKind = keyof ShardSources;
export type SourceOptions<K extends SourceKind> = ShardSources[K]["options"];
export type OpenedSource<K extends SourceKind> = ShardSources[K]["opened"];
export type AnyOpened = OpenedSource<SourceKind>;
export type SourceQuestion<K extends SourceKind> = ShardSources[K]["question"];
export type SourceAnswer<K extends SourceKind> = ShardSources[K]["answer"];
export type SourceOpening = {
  [K in SourceKind]: { readonly kind: K; readonly options: SourceOptions<K> };
}[SourceKind];

/** A source's packets come through the ring, or the shard has opened it itself. */
export type MediaOrigin =
  | { readonly kind: "forwarded"; readonly codecs: CodecMap; readonly canRetransmit: boolean }
  | { readonly kind: "own"; readonly source: number };

/** What is answered, by `answer` or `refusal` of the same number. */
export type ShardAsk =
  /** Opens a source; the answer is what it has opened. */
  | { readonly kind: "open-source"; readonly source: number; readonly opening: SourceOpening }
  /** What only sources of its kind understand; the answer is theirs. */
  | { readonly kind: "ask-source"; readonly source: number; readonly question: SourceQuestion<SourceKind> }
  /** Answered when it is closed. */
  | { readonly kind: "close-source"; readonly source: number }
  /** Makes a participant's media. */
  | {
      readonly kind: "adopt";
      readonly media: number;
      readonly origin: MediaOrigin;
      readonly sourceKind: string;
      readonly normalisation: Normalisation;
      readonly firstArrivalMs: MonotonicMs | undefined;
      readonly counters: CounterMemory;
    }
  | { readonly kind: "prepare"; readonly media: number; readonly run: number };

export type ShardAnswer = AnyOpened | SourceAnswer<SourceKind> | undefined;

/** How windows are to be made now. */
export interface WindowTerms {
  readonly scales: WindowScales;
  /** One in so many is judged. */
  readonly pace: number;
}

/** What is not answered. */
export type ShardOrder =
  | { readonly kind: "begin"; readonly media: number; readonly run: number; readonly start: AnalysisStart }
  /** Ends a run, or gives a prepared one back; audio, features and windows of it are wiped. */
  | { readonly kind: "stop"; readonly media: number; readonly run: number }
  /** @param events whether packets that are no audio, but mean something, are to be told */
  | { readonly kind: "listen"; readonly media: number; readonly events: boolean }
  | { readonly kind: "abandon"; readonly media: number }
  | { readonly kind: "terms"; readonly media: number; readonly terms: WindowTerms }
  /** Of a forwarded source that has agreed on further payload types. */
  | { readonly kind: "codecs"; readonly media: number; readonly codecs: CodecMap }
  /** Of a forwarded source. */
  | { readonly kind: "report"; readonly media: number; readonly report: SenderReport }
  /** Asks for all of a window that came as its fresh frames; answered by `whole`. */
  | { readonly kind: "whole"; readonly media: number; readonly run: number; readonly index: number }
  /** A forwarded source gives no more; its packets are in the ring. */
  | { readonly kind: "source-ended"; readonly media: number; readonly error: ToldError | undefined }
  /** Packets are in the ring, and the shard slept. */
  | { readonly kind: "packets" };

export type ToShard = (ShardAsk & { readonly request: number }) | ShardOrder;

export interface HostedSipOptions extends SipReceptionOptions {
  /** When its peer was last heard is written here: the main thread decides on who is silent. */
  readonly heard: Float64Array<SharedArrayBuffer>;
  /** Where it was agreed on in another shard. */
  readonly agreement: SipAgreement | undefined;
}

export interface OpenedSip {
  readonly address: UdpAddress;
}

/** One voice in a SIP stream that the same shard has opened. */
export interface HostedVoiceOptions {
  /** Number of that source. */
  readonly reception: number;
  /** Nobody speaks. */
  readonly held: boolean;
}

export interface OpenedRtp {
  readonly address: UdpAddress;
  readonly codecs: CodecMap;
}

/** An error on its way between threads. */
export interface ToldError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  /** `code` of the system error behind it, such as EADDRINUSE. */
  readonly systemCode: string | undefined;
}

/**
 * A window without features. They are in `row` of the mailbox: of all frames, or, where `freshOnly`, of the fresh ones;
 * those for a shadow are in `shadowRow`.
 */
export type ToldWindow = Omit<
  FeatureWindow,
  "features" | "fresh" | "freshFeatures" | "shadowFeatures" | "writeWhole" | "readyMs"
> & {
  readonly readyMs: MonotonicMs;
  readonly fresh: number | undefined;
  readonly row: number;
  readonly freshOnly: boolean;
  readonly shadowRow: number | undefined;
};

export type ToldUnit = Exclude<HeardUnit, FeatureWindow> | ToldWindow;

export type ShardNews =
  | { readonly kind: "answer"; readonly request: number; readonly value: ShardAnswer }
  | { readonly kind: "refusal"; readonly request: number; readonly error: ToldError }
  | { readonly kind: "unit"; readonly media: number; readonly run: number; readonly unit: ToldUnit }
  /** The window that was asked for; without a row it was too late. */
  | {
      readonly kind: "whole";
      readonly media: number;
      readonly run: number;
      readonly row: number | undefined;
    }
  /** The analysis is over: its source has ended, or a stage threw. */
  | {
      readonly kind: "run-over";
      readonly media: number;
      readonly run: number;
      readonly error: ToldError | undefined;
    }
  | {
      readonly kind: "ended";
      readonly media: number;
      readonly error: ToldError | undefined;
      readonly timedOut: boolean;
    }
  /** A source that the shard has opened gives no more, whoever it was attached to. */
  | {
      readonly kind: "source-over";
      readonly source: number;
      readonly error: ToldError | undefined;
      readonly timedOut: boolean;
    }
  | { readonly kind: "nack"; readonly media: number; readonly sequences: readonly number[] }
  | { readonly kind: "event-packet"; readonly media: number; readonly packet: RtpPacket }
  /** Datagrams that its source has refused so far, by reason. */
  | {
      readonly kind: "refused";
      readonly media: number;
      readonly refused: Readonly<Record<string, number>>;
    };

/** It travels as the number of its row: what is said of a window lies beside its features (window-head.ts). */
export type WindowNews = Extract<ShardNews, { kind: "unit" }> & { readonly unit: ToldWindow };

/** What came up since the message before, in order. The first says that it is ready: it is empty. */
export type FromShard = readonly (ShardNews | number)[];
