/** An event as one line of text, for pipes and log files. */
import type { TonetapEvent } from "./schema.ts";
import { safe } from "./terminal-text.ts";

const percent = (share: number): string => `${Math.round(share * 100)} %`;

/** `09:30:06.052 support-4711/ada emotion angry 71 % …`: time (UTC), whose, what, and what matters of it. */
export function eventLine(event: TonetapEvent): string {
  const { time, data, type } = event;
  const whose = !("callId" in data)
    ? "service"
    : "participantId" in data
      ? `${data.callId}/${data.participantId}`
      : data.callId;
  const line = [time.slice(11, 23), whose, type.slice("tonetap.".length), ...detailsOf(event)].join(" ");
  return safe(line);
}

function detailsOf(event: TonetapEvent): string[] {
  switch (event.type) {
    case "tonetap.call.started":
      return [];
    case "tonetap.call.ended":
      return [event.data.reason, `after ${(event.data.durationMs / 1000).toFixed(1)} s`];
    case "tonetap.call.failed":
      return [event.data.error.code, event.data.error.message];
    case "tonetap.participant.joined":
      return [event.data.role, `by ${event.data.transport}`, `consent ${event.data.consent}`];
    case "tonetap.participant.left": {
      const { reason, error } = event.data;
      return error === undefined ? [reason] : [reason, error.code, error.message];
    }
    case "tonetap.participant.paused":
    case "tonetap.participant.resumed":
    case "tonetap.participant.discarded":
      return [event.data.reason];
    case "tonetap.participant.recovered":
      return [event.data.error.code, event.data.error.message];
    case "tonetap.participant.consent":
      return [event.data.consent, `by ${event.data.by}`];
    case "tonetap.participant.notice": {
      const { state, proof, reason } = event.data;
      if (proof !== undefined) return [state, `${proof.how} by ${proof.by}`];
      return reason === undefined ? [state] : [state, reason];
    }
    case "tonetap.emotion": {
      const { top, confidence, abstained, valence, arousal, latency } = event.data;
      return [
        abstained ? "unsure" : `${top} ${percent(confidence)}`,
        `valence ${valence.toFixed(2)}`,
        `arousal ${arousal.toFixed(2)}`,
        `${latency.totalMs.toFixed(0)} ms`,
      ];
    }
    case "tonetap.speech.started":
      return [`at ${(event.data.mediaMs / 1000).toFixed(2)} s`];
    case "tonetap.speech.ended":
      return [
        `at ${(event.data.mediaMs / 1000).toFixed(2)} s`,
        `after ${(event.data.durationMs / 1000).toFixed(2)} s`,
      ];
    case "tonetap.utterance": {
      const { durationMs, expression, windows } = event.data;
      const top =
        expression === undefined
          ? "not judged"
          : expression.abstained
            ? "unsure"
            : `${expression.top} ${percent(expression.confidence)}`;
      return [top, `${(durationMs / 1000).toFixed(2)} s`, `${windows.judged} windows`];
    }
    case "tonetap.participant.state":
    case "tonetap.call.state": {
      const { top, confidence, trends } = event.data;
      const moves = trends.map(
        ({ of, direction, forMs }) => `${of} ${direction} for ${Math.round(forMs / 1000)} s`,
      );
      return [`${top} ${percent(confidence)}`, ...moves];
    }
    case "tonetap.alert.raised": {
      const { ruleName, ruleId, measure, value, threshold } = event.data;
      return [ruleName ?? ruleId, `${measure} ${value.toFixed(2)}`, `threshold ${threshold.toFixed(2)}`];
    }
    case "tonetap.alert.cleared": {
      const { ruleName, ruleId, reason, durationMs } = event.data;
      return [ruleName ?? ruleId, reason, `after ${(durationMs / 1000).toFixed(1)} s`];
    }
    case "tonetap.quality": {
      const { lossShare, jitterMs, packets, codec } = event.data;
      return [
        `loss ${(lossShare * 100).toFixed(1)} %`,
        `jitter ${jitterMs.toFixed(1)} ms`,
        `${packets.received} packets`,
        ...(codec === undefined ? [] : [codec]),
      ];
    }
    case "tonetap.service.stats": {
      const { calls, participants, windowsPerSecond, latencyMs } = event.data;
      return [
        `${calls} calls`,
        `${participants} participants`,
        `${windowsPerSecond.toFixed(1)} windows/s`,
        `p99 ${latencyMs.p99.toFixed(0)} ms`,
      ];
    }
    default:
      return event satisfies never;
  }
}
