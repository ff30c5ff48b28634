/** Where participants' media are worked on: the contract, and its plain implementation on the caller's thread. Threads of their own are shards/. */
import type { AudioSource } from "./core/audio-source.ts";
import type { Clock } from "./core/clock.ts";
import type { Closable } from "./core/lifecycle.ts";
import type { Normalisation } from "./core/model.ts";
import type { WindowPlace, WindowScales } from "./core/window.ts";
import { LocalMedia, type ParticipantMedia } from "./participant-media.ts";
import { createUdpRtpSource, type UdpAddress, type UdpRtpSourceOptions } from "./transport/index.ts";
import type { OpenSipReception } from "./transport/sip/index.ts";
import { SipSource } from "./transport/sip/sip-source.ts";
import { openWhipHere } from "./transport/werift/whip-here.ts";
import type { OpenWhipPeer } from "./transport/werift/whip-peer.ts";
import type { WindowParts } from "./window-chain.ts";

/** A UDP port for one participant's RTP, wherever its packets are read. Give it to engine.attach(). */
export interface RtpDoor extends AudioSource {
  /** Where it listens. */
  readonly address: UdpAddress;
}

/** A source's options without what cannot go to another thread. */
export type RtpDoorOptions = Omit<UdpRtpSourceOptions, "clock" | "signal">;

/** One thread that works on participants' media. */
export interface ShardStatus {
  readonly up: boolean;
  readonly participants: number;
  /** Share of a core that its event loop is busy, 0–1, lately. */
  readonly utilization: number;
  /** Packets for it that were dropped because it was behind, since the start. */
  readonly droppedPackets: number;
  /** Times that it broke down and was started anew. */
  readonly restarts: number;
  /** Why it broke down, the last time; empty if it never did. */
  readonly lastError: string;
}

/** What one participant's media need. */
export interface MediaParts {
  /** Whose scale its windows are on when it begins. */
  readonly normalisation: Normalisation;
  /** Whose scale they are on now. */
  readonly scales: () => WindowScales;
  /** Of its windows one in so many is judged, now. */
  readonly pace: () => number;
  /** Whether a window, were it given out now, would be judged by its fresh frames: the others need not be fetched. */
  readonly needsFreshOnly: (window: WindowPlace) => boolean;
}

export interface MediaHost extends Closable {
  /** Empty: everything is worked on where the caller is. */
  readonly shards: readonly ShardStatus[];
  /** @throws TonetapError unavailable, closed */
  open(source: AudioSource, parts: MediaParts): Promise<ParticipantMedia>;
  /** Opens a WHIP publisher's connection where its packets will be worked on. Give it to createWhipEndpoint(). */
  readonly openWhip: OpenWhipPeer;
  /** Opens a port where its packets will be worked on. @throws TonetapError as createUdpRtpSource() */
  openRtp(options: RtpDoorOptions): Promise<RtpDoor>;
  /** Receives a SIP call's audio where its packets will be worked on. Give it to createSipServer(). */
  readonly openSip: OpenSipReception;
}

export interface LocalMediaHostOptions {
  readonly clock: Clock;
  readonly parts: Pick<WindowParts, "config" | "manifest">;
}

export class LocalMediaHost implements MediaHost {
  readonly shards: readonly ShardStatus[] = [];
  readonly #options: LocalMediaHostOptions;
  #openWhip: OpenWhipPeer | undefined;

  constructor(options: LocalMediaHostOptions) {
    this.#options = options;
  }

  open(source: AudioSource, { normalisation, scales, pace }: MediaParts): Promise<ParticipantMedia> {
    const { clock, parts } = this.#options;
    const manifest = { ...parts.manifest, normalisation };
    return Promise.resolve(new LocalMedia(source, { ...parts, clock, manifest, scales, pace }));
  }

  /** Whoever takes no WHIP need not load werift: asking for this does. */
  get openWhip(): OpenWhipPeer {
    this.#openWhip ??= openWhipHere(this.#options.clock);
    return this.#openWhip;
  }

  readonly openSip: OpenSipReception = (options, onEnd) =>
    SipSource.open({ ...options, clock: this.#options.clock, onEnd });

  openRtp(options: RtpDoorOptions): Promise<RtpDoor> {
    return createUdpRtpSource({ ...options, clock: this.#options.clock });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
