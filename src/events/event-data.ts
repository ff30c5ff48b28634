/** Turns the pipeline's results into `data` of events. Makes no envelope (event-factory.ts) and publishes nothing. */
import type { ParticipantRole } from "../core/audio-source.ts";
import { TonetapError } from "../core/errors.ts";
import type { MonotonicMs, WallMs } from "../core/units.ts";
import type { EmotionResult, SpeechEdge } from "../core/window.ts";
import type { EventData } from "./schema.ts";

/** Whose result it is. */
export interface Speaker {
  readonly callId: string;
  readonly participantId: string;
  readonly role: ParticipantRole;
}

/**
 * @param labels the model's labels, in the order of `result.scores`.
 * @param now when the event is made: latency counts from the arrival of the window's last packet to it.
 */
export function emotionData(
  speaker: Speaker,
  result: EmotionResult,
  labels: readonly string[],
  now: MonotonicMs,
): EventData<"emotion"> {
  const top = labels[result.top];
  if (top === undefined || labels.length !== result.scores.length) {
    throw new TonetapError(
      "internal",
      `a result of ${result.model} does not fit its ${labels.length} labels`,
    );
  }
  const scores: Record<string, number> = {};
  labels.forEach((label, i) => {
    scores[label] = result.scores[i] ?? 0;
  });
  return {
    callId: speaker.callId,
    participantId: speaker.participantId,
    role: speaker.role,
    index: result.index,
    top,
    confidence: result.confidence,
    abstained: result.abstained,
    scores,
    valence: result.valence,
    arousal: result.arousal,
    media: { startMs: tenths(result.mediaStartMs), endMs: tenths(result.mediaEndMs) },
    wall: { start: rfc3339(result.wallStartMs), end: rfc3339(result.wallEndMs), source: result.wallSource },
    speechShare: result.speechShare,
    lossShare: result.lossShare,
    model: result.model,
    latency: {
      totalMs: tenths(Math.max(0, now - result.arrivalMs)),
      queuedMs: tenths(result.queuedMs),
      inferenceMs: tenths(result.inferenceMs),
    },
    batchSize: result.batchSize,
  };
}

export function speechStartedData(speaker: Speaker, edge: SpeechEdge): EventData<"speech.started"> {
  return {
    callId: speaker.callId,
    participantId: speaker.participantId,
    role: speaker.role,
    mediaMs: tenths(edge.mediaMs),
    wall: { at: rfc3339(edge.wallMs), source: edge.wallSource },
  };
}

export function speechEndedData(speaker: Speaker, edge: SpeechEdge): EventData<"speech.ended"> {
  return { ...speechStartedData(speaker, edge), durationMs: tenths(edge.durationMs) };
}

const tenths = (valueMs: number): number => Math.round(valueMs * 10) / 10;

const rfc3339 = (time: WallMs): string => new Date(time).toISOString();
