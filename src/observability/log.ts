/** The service's log: who came and went and what failed, with call ids, never what a voice expressed. JSON for machines, lines for terminals. */
import type { Writable } from "node:stream";
import { type Logger, pino, stdTimeFunctions } from "pino";
import type { TonetapError } from "../core/errors.ts";
import type { Closable } from "../core/lifecycle.ts";
import type { OverloadStep } from "../core/overload.ts";
import type { Engine } from "../engine.ts";
import type { TonetapEvent } from "../events/index.ts";

export interface LogOptions {
  readonly level: "error" | "warn" | "info" | "debug" | "silent";
  /** `json`: one object a line. `pretty`: for people. `auto`: pretty where the output is a terminal. */
  readonly format: "auto" | "json" | "pretty";
  readonly out: Writable & { readonly isTTY?: boolean };
}

export type { Logger } from "pino";

export function createLog({ level, format, out }: LogOptions): Logger {
  const pretty = format === "pretty" || (format === "auto" && out.isTTY === true);
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pretty ? { write: (line) => out.write(prettyLine(line)) } : out,
  );
}

/** Writes what happens to calls and participants. Emotions, utterances, states, alerts and speech are voice-derived: they are not. */
export function logCalls({ hub }: Pick<Engine, "hub">, log: Logger): Closable {
  let step: OverloadStep = "none";
  const subscription = hub.events$.subscribe((event) => {
    if (event.type === "tonetap.service.stats") {
      const { load } = event.data;
      if (load.step !== step) log.warn({ was: step, ...load }, `overload step ${load.step}`);
      step = load.step;
    } else logEvent(log, event);
  });
  return {
    close: () => {
      subscription.unsubscribe();
      return Promise.resolve();
    },
  };
}

/** A defect of ours that a request met, with its stack. */
export function logDefect(log: Logger, error: TonetapError): void {
  log.error({ code: error.code, stack: error.stack }, `defect: ${error.message}`);
}

function logEvent(log: Logger, event: TonetapEvent): void {
  switch (event.type) {
    case "tonetap.call.started":
      log.info({ callId: event.data.callId }, "call started");
      return;
    case "tonetap.call.ended": {
      const { callId, reason, durationMs, participants } = event.data;
      log.info({ callId, reason, durationMs, participants }, "call ended");
      return;
    }
    case "tonetap.call.failed": {
      const { callId, error } = event.data;
      log.error({ callId, error }, "call failed");
      return;
    }
    case "tonetap.participant.joined": {
      // Not the display name: a person's.
      const { callId, participantId, role, transport, consent, paused } = event.data;
      log.info({ callId, participantId, role, transport, consent, paused }, "participant joined");
      return;
    }
    case "tonetap.participant.paused":
    case "tonetap.participant.resumed":
    case "tonetap.participant.discarded": {
      const { callId, participantId, reason } = event.data;
      log.info({ callId, participantId, reason }, event.type.slice("tonetap.".length).replace(".", " "));
      return;
    }
    case "tonetap.participant.recovered": {
      const { callId, participantId, error } = event.data;
      log.warn({ callId, participantId, error }, "participant recovered");
      return;
    }
    case "tonetap.participant.notice": {
      const { callId, participantId, state, attempt, reason } = event.data;
      const fields = { callId, participantId, state, attempt, reason };
      if (state === "failed") log.warn(fields, "participant notice");
      else log.info(fields, "participant notice");
      return;
    }
    case "tonetap.participant.left": {
      const { callId, participantId, reason, error, durationMs } = event.data;
      const fields = { callId, participantId, reason, durationMs, ...(error === undefined ? {} : { error }) };
      if (reason === "failed") log.warn(fields, "participant left");
      else log.info(fields, "participant left");
      return;
    }
    case "tonetap.quality": {
      const { callId, participantId, lossShare, jitterMs } = event.data;
      log.debug({ callId, participantId, lossShare, jitterMs }, "quality");
      return;
    }
    default:
      // Voice-derived, or counted by metrics.
      return;
  }
}

/** `12:30:01 info  call started  callId=room-7` */
function prettyLine(line: string): string {
  const { level, time, msg, stack, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const rest = Object.entries(fields)
    .map(([key, value]) => `${key}=${typeof value === "string" ? printable(value) : JSON.stringify(value)}`)
    .join(" ");
  const head = `${String(time).slice(11, 19)} ${String(level).padEnd(5)} ${printable(String(msg))}`;
  return `${rest === "" ? head : `${head}  ${rest}`}${stack === undefined ? "" : `\n${String(stack)}`}\n`;
}

/** Ids come from peers: none of their control characters reaches a terminal. */
const printable = (text: string): string => text.replace(/\p{C}/gu, "�");
