/**
 * AudioSources for a program that has a werift peer connection of its own. The connection stays the program's:
 * closing a source leaves it as it is, and closing the connection completes the source.
 */
import type { MediaStreamTrack, RTCPeerConnection } from "werift";
import type { AudioSource } from "../../core/audio-source.ts";
import { type Clock, systemClock } from "../../core/clock.ts";
import { assertRange, TonetapError } from "../../core/errors.ts";
import type { AudioCodec, AudioMimeType } from "../../core/rtp.ts";
import { WeriftSource } from "./werift-source.ts";
import { AUDIO_LEVEL_URI } from "./whip-offer.ts";

export interface PeerSourceOptions {
  /** ms without a packet of the track after which its source ends. 1,000–600,000; default 30,000. */
  readonly inactivityMs?: number;
  /** Packets a second at most; those beyond are dropped and counted. 50–100,000, default 1,000. */
  readonly maxPacketsPerSecond?: number;
  /** Default true: the connection decrypts by Tonetap's SRTP, in a quarter of the time. For all that it receives. */
  readonly ownSrtp?: boolean;
  readonly clock?: Clock;
}

const MIME_TYPES: readonly AudioMimeType[] = [
  "audio/opus",
  "audio/PCMU",
  "audio/PCMA",
  "audio/red",
  "audio/CN",
  "audio/telephone-event",
];

/**
 * The first audio track that `peer` receives. Call it once the descriptions are exchanged.
 * @throws TonetapError not-found when it receives none.
 */
export function attachPeer(peer: RTCPeerConnection, options: PeerSourceOptions = {}): AudioSource {
  const track = peer
    .getTransceivers()
    .filter((transceiver) => transceiver.kind === "audio" && !transceiver.stopped)
    .flatMap((transceiver) => transceiver.receiver.tracks)[0];
  if (track === undefined) throw new TonetapError("not-found", "the peer connection receives no audio track");
  return sourceFromTrack(peer, track, options);
}

/**
 * A track that `peer` receives, such as its `track` event gives. To get RFC 6464 levels, give the connection
 * `headerExtensions: { audio: [useAudioLevelIndication()] }`.
 * @throws TonetapError not-found when `track` is not an audio track of `peer`; unavailable when it has no SSRC.
 */
export function sourceFromTrack(
  peer: RTCPeerConnection,
  track: MediaStreamTrack,
  options: PeerSourceOptions = {},
): AudioSource {
  const inactivityMs = options.inactivityMs ?? 30_000;
  assertRange("inactivityMs", inactivityMs, 1_000, 600_000, "ms");
  if (options.maxPacketsPerSecond !== undefined)
    assertRange("maxPacketsPerSecond", options.maxPacketsPerSecond, 50, 100_000);
  const transceiver = peer
    .getTransceivers()
    .find((candidate) => candidate.kind === "audio" && candidate.receiver.tracks.includes(track));
  if (transceiver === undefined) {
    throw new TonetapError("not-found", "the track is not an audio track that this peer connection receives");
  }
  if (track.ssrc === undefined)
    throw new TonetapError("unavailable", "the peer announced no SSRC for the track");

  const codecs = new Map<number, AudioCodec>();
  for (const { mimeType, payloadType, clockRate, channels } of transceiver.codecs) {
    const known = MIME_TYPES.find((candidate) => candidate.toLowerCase() === mimeType.toLowerCase());
    if (known !== undefined) {
      codecs.set(payloadType, { mimeType: known, clockRateHz: clockRate, channels: channels ?? 1 });
    }
  }
  const stateChanges = peer.connectionStateChange.subscribe((state) => {
    if (state === "closed" || state === "failed") void source.close();
  });
  const trackEnd = track.onReceiveRtp.subscribe(
    () => undefined,
    () => void source.close(),
  );
  const source = new WeriftSource({
    kind: "webrtc",
    transport: transceiver.receiver.dtlsTransport,
    codecs,
    audioLevelId: transceiver.headerExtensions.find(({ uri }) => uri === AUDIO_LEVEL_URI)?.id,
    ssrc: track.ssrc,
    rtcpSsrc: transceiver.receiver.rtcpSsrc,
    ownSrtp: options.ownSrtp,
    maxPacketsPerSecond: options.maxPacketsPerSecond,
    clock: options.clock ?? systemClock,
    inactivityMs,
    release: async () => {
      stateChanges.unSubscribe();
      trackEnd.unSubscribe();
    },
  });
  return source;
}
