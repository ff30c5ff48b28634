/** One example of every event, made by the code that makes real ones: for docs/events.md, AsyncAPI and tests. */
import type { Clock } from "../core/clock.ts";
import { monotonicMs, sampleIndex, wallMs } from "../core/units.ts";
import type { EmotionResult, SpeechEdge } from "../core/window.ts";
import { emotionData, type Speaker, speechEndedData, speechStartedData } from "./event-data.ts";
import { EventFactory } from "./event-factory.ts";
import type { EventKind, EventOf } from "./schema.ts";

const START = Date.UTC(2026, 0, 15, 9, 30);

const LABELS = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"] as const;

const SPEAKER: Speaker = { callId: "support-4711", participantId: "ada", role: "customer" };

const RESULT: EmotionResult = {
  kind: "emotion",
  index: 11,
  start: sampleIndex(48_000),
  end: sampleIndex(96_000),
  mediaStartMs: 3000,
  mediaEndMs: 6000,
  wallStartMs: wallMs(START + 3012),
  wallEndMs: wallMs(START + 6012),
  wallSource: "ntp",
  speechShare: 0.8733,
  lossShare: 0.0133,
  arrivalMs: monotonicMs(6040),
  scores: Float32Array.of(0.7106, 0.0391, 0.0542, 0.0311, 0.1204, 0.0187, 0.0259),
  top: 0,
  confidence: 0.7106,
  abstained: false,
  valence: -0.4312,
  arousal: 0.6127,
  model: "tonetap-base@0.5.0",
  batchSize: 6,
  queuedMs: 4.2,
  inferenceMs: 7.9,
};

const EDGE: SpeechEdge = {
  kind: "speech",
  state: "ended",
  at: sampleIndex(99_200),
  mediaMs: 6200,
  wallMs: wallMs(START + 6212),
  wallSource: "ntp",
  durationMs: 4180,
  arrivalMs: monotonicMs(6240),
};

const SCORES = {
  angry: 0.6214,
  disgust: 0.0512,
  fear: 0.0601,
  happy: 0.0402,
  neutral: 0.1705,
  sad: 0.0231,
  surprise: 0.0335,
};

const ROLLING = {
  top: "angry",
  confidence: 0.6214,
  scores: SCORES,
  valence: -0.3817,
  arousal: 0.5702,
  abstainedShare: 0.0914,
  trends: [
    { of: "angry", direction: "rising", forMs: 20_000, change: 0.1832 },
    { of: "valence", direction: "falling", forMs: 14_500, change: -0.1409 },
  ],
} as const;

const ALERT = {
  ...SPEAKER,
  alertId: "0mkf90q80-a0",
  ruleId: "customer-upset",
  ruleName: "A customer is upset",
  measure: "angry+disgust",
} as const;

const WINDOWS = { emitted: 96, abstained: 7, gated: 35, dropped: 0 };

export type EventExamples = { readonly [K in EventKind]: EventOf<K> };

export function eventExamples(): EventExamples {
  let elapsedMs = 0;
  const never = (): (() => void) => () => undefined;
  const clock: Clock = {
    now: () => monotonicMs(elapsedMs),
    wall: () => wallMs(START + elapsedMs),
    schedule: never,
    repeat: never,
  };
  const factory = new EventFactory({ instance: "local", clock, random: () => 24_301 });
  const at = (ms: number): EventFactory => {
    elapsedMs = ms;
    return factory;
  };
  const { callId } = SPEAKER;
  return {
    "call.started": at(0).create("call.started", { callId }),
    "participant.joined": at(0).create("participant.joined", {
      ...SPEAKER,
      displayName: "Ada L.",
      consent: "pending",
      paused: true,
      transport: "whip",
    }),
    "participant.paused": at(1).create("participant.paused", { ...SPEAKER, reason: "consent-pending" }),
    "participant.resumed": at(1850).create("participant.resumed", { ...SPEAKER, reason: "consent-granted" }),
    "participant.discarded": at(92_000).create("participant.discarded", {
      ...SPEAKER,
      reason: "consent-withdrawn",
      windows: 1,
    }),
    "participant.consent": at(92_000).create("participant.consent", {
      ...SPEAKER,
      consent: "withdrawn",
      previous: "granted",
      by: "key desk",
    }),
    "participant.notice": at(1700).create("participant.notice", {
      ...SPEAKER,
      state: "given",
      proof: {
        by: "ivr-2",
        how: "played",
        reference: "prompt-17/9f31",
        language: "en-GB",
        at: new Date(START + 1650).toISOString(),
      },
    }),
    "participant.recovered": at(41_000).create("participant.recovered", {
      ...SPEAKER,
      error: { code: "unavailable", message: "a shard ended with code 1", retryable: true },
    }),
    "speech.started": at(2100).create(
      "speech.started",
      speechStartedData(SPEAKER, {
        ...EDGE,
        state: "started",
        mediaMs: 2020,
        wallMs: wallMs(START + 2032),
        durationMs: 0,
      }),
    ),
    emotion: at(6052).create("emotion", emotionData(SPEAKER, RESULT, LABELS, monotonicMs(6053.4))),
    "speech.ended": at(6260).create("speech.ended", speechEndedData(SPEAKER, EDGE)),
    utterance: at(6260).create("utterance", {
      ...SPEAKER,
      media: { startMs: 2020, endMs: 6200 },
      wall: {
        start: new Date(START + 2032).toISOString(),
        end: new Date(START + 6212).toISOString(),
        source: "ntp",
      },
      durationMs: 4180,
      expression: {
        top: "angry",
        confidence: 0.6214,
        scores: SCORES,
        valence: -0.3817,
        arousal: 0.5702,
        abstained: false,
        peak: { label: "angry", probability: 0.7106, mediaMs: 6000 },
      },
      windows: { judged: 7, abstained: 1 },
      abstainedShare: 1 / 7,
      lossShare: 0.0121,
      speechShare: 0.8412,
      model: RESULT.model,
    }),
    "participant.state": at(8052).create("participant.state", { ...SPEAKER, ...ROLLING }),
    "call.state": at(8052).create("call.state", { callId, voices: 2, ...ROLLING }),
    "alert.raised": at(9052).create("alert.raised", {
      ...ALERT,
      value: 0.7412,
      threshold: 0.6,
      heldMs: 3000,
      mediaMs: 9000,
    }),
    "alert.cleared": at(21_052).create("alert.cleared", {
      ...ALERT,
      reason: "calm",
      durationMs: 12_000,
      peak: 0.8102,
    }),
    quality: at(10_000).create("quality", {
      ...SPEAKER,
      periodMs: 5000,
      packets: { received: 492, lost: 8, recovered: 6, late: 1, duplicate: 0, ignored: 0 },
      lossShare: 0.012,
      jitterMs: 3.4,
      windows: { emitted: 9, abstained: 1, gated: 4, dropped: 0 },
      codec: "audio/opus",
    }),
    "service.stats": at(10_000).create("service.stats", {
      calls: 12,
      participants: 24,
      subscribers: 3,
      backend: "onnxruntime-node/cpu",
      model: RESULT.model,
      windowsPerSecond: 31.4,
      meanBatchSize: 4.7,
      latencyMs: { p50: 14.8, p99: 31.2 },
      droppedWindows: 0,
      droppedEvents: 0,
      cpuShare: 0.12,
      rssBytes: 148_897_792,
      load: { main: 0.06, model: 0.11, step: "none", shedWindows: 0, refusedParticipants: 0 },
    }),
    "participant.left": at(71_000).create("participant.left", {
      ...SPEAKER,
      reason: "failed",
      error: { code: "protocol", message: "DTLS: the peer's certificate changed", retryable: false },
      durationMs: 71_000,
      windows: WINDOWS,
    }),
    "call.failed": at(71_002).create("call.failed", {
      callId,
      error: { code: "unavailable", message: "the router was closed", retryable: true },
    }),
    "call.ended": at(71_003).create("call.ended", {
      callId,
      reason: "empty",
      durationMs: 71_003,
      participants: 1,
    }),
  };
}
