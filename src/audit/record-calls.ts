/**
 * What goes into the audit log of a service: who was heard, in which role, by whose consent, under which policy, by
 * which model. Never what a voice expressed, never a display name.
 */
import type { Observable } from "rxjs";
import type { TonetapEvent } from "../events/index.ts";
import type { AuditLog } from "./audit-log.ts";

/**
 * Writes what matters of all events, until they end.
 * @param model `name@version` of the one in force now
 * @returns stops it
 */
export function recordCalls(log: AuditLog, events$: Observable<TonetapEvent>, model: string): () => void {
  const watching = events$.subscribe((event) => {
    if (event.type === "tonetap.service.stats" && event.data.model !== model) {
      model = event.data.model;
      log.append("model.changed", { model });
    }
    const record = recordOf(event);
    if (record !== undefined) log.append(event.type.slice("tonetap.".length), record);
  });
  return () => watching.unsubscribe();
}

function recordOf(event: TonetapEvent): Readonly<Record<string, unknown>> | undefined {
  switch (event.type) {
    case "tonetap.participant.joined": {
      const { callId, participantId, role, consent, transport } = event.data;
      return { callId, participantId, role, consent, transport };
    }
    // Copied field by field: what an event will say one day is not written here unseen.
    case "tonetap.participant.consent": {
      const { callId, participantId, role, consent, previous, by } = event.data;
      return { callId, participantId, role, consent, previous, by };
    }
    case "tonetap.participant.notice": {
      const { callId, participantId, role, state, attempt, proof, reason } = event.data;
      return { callId, participantId, role, state, attempt, proof, reason };
    }
    case "tonetap.participant.paused":
    case "tonetap.participant.resumed":
    case "tonetap.participant.discarded": {
      const { callId, participantId, reason } = event.data;
      return { callId, participantId, reason };
    }
    case "tonetap.participant.left": {
      const { callId, participantId, reason } = event.data;
      return { callId, participantId, reason };
    }
    default:
      return undefined;
  }
}
