/**
 * A React hook: what every participant of a call expresses, live. It uses React 18 or later and `tonetap/client` alone.
 *
 *   function Customer({ callId }: { callId: string }) {
 *     const { state, participants } = useTonetap("http://127.0.0.1:8080", callId);
 *     if (state !== "open") return <p>connecting …</p>;
 *     return participants.map(({ id, name, line }) => <p key={id}>{name}: {line}</p>);
 *   }
 */
import { useMemo, useSyncExternalStore } from "react";
import { connect, type TonetapEvent } from "tonetap/client";

export interface LiveParticipant {
  readonly id: string;
  readonly name: string;
  readonly speaking: boolean;
  /** `angry, rising for 20 s`; empty until something was heard. */
  readonly line: string;
  /** Names of the alerts that stand. */
  readonly alerts: readonly string[];
}

export interface LiveCall {
  readonly state: "connecting" | "open" | "waiting" | "closed";
  readonly participants: readonly LiveParticipant[];
}

export function useTonetap(url: string, callId: string): LiveCall {
  const store = useMemo(() => createCallStore(url, callId), [url, callId]);
  return useSyncExternalStore(store.subscribe, store.getSnapshot);
}

/** The hook without React: connected while somebody is subscribed, a new snapshot object with every change. */
export function createCallStore(url: string, callId: string) {
  let snapshot: LiveCall = { state: "connecting", participants: [] };
  let close: () => void = () => undefined;
  const listeners = new Set<() => void>();
  const show = (next: Partial<LiveCall>): void => {
    snapshot = { ...snapshot, ...next };
    for (const listener of listeners) listener();
  };
  const open = (): void => {
    const connection = connect(url, { filter: { calls: [callId] } });
    connection.on("status", (status) => {
      // A resumed connection goes on; any other begins with a snapshot of what is live.
      const forget = status.state === "open" && !status.resumed;
      show({ state: status.state, ...(forget ? { participants: [] } : {}) });
    });
    connection.on("event", (event) => show({ participants: applied(snapshot.participants, event) }));
    close = () => connection.close();
  };
  return {
    getSnapshot: (): LiveCall => snapshot,
    subscribe(listener: () => void): () => void {
      if (listeners.size === 0) open();
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
        if (listeners.size === 0) close();
      };
    },
  };
}

function applied(participants: readonly LiveParticipant[], event: TonetapEvent): readonly LiveParticipant[] {
  const { data } = event;
  if (!("participantId" in data)) return participants;
  const id = data.participantId;
  const change = (next: Partial<LiveParticipant>): readonly LiveParticipant[] =>
    participants.map((participant) => (participant.id === id ? { ...participant, ...next } : participant));
  switch (event.type) {
    case "tonetap.participant.joined": {
      const name = event.data.displayName ?? id;
      const others = participants.filter((participant) => participant.id !== id);
      return [...others, { id, name, speaking: false, line: "", alerts: [] }];
    }
    case "tonetap.participant.left":
      return participants.filter((participant) => participant.id !== id);
    case "tonetap.participant.paused":
      return change({ speaking: false, line: "", alerts: [] });
    case "tonetap.speech.started":
    case "tonetap.speech.ended":
      return change({ speaking: event.type === "tonetap.speech.started" });
    case "tonetap.participant.state": {
      const { top, trends } = event.data;
      const [trend] = trends;
      if (trend === undefined) return change({ line: top });
      const moves = `${trend.direction} for ${Math.round(trend.forMs / 1000)} s`;
      return change({ line: trend.of === top ? `${top}, ${moves}` : `${top}; ${trend.of} ${moves}` });
    }
    case "tonetap.alert.raised":
    case "tonetap.alert.cleared": {
      const name = event.data.ruleName ?? event.data.ruleId;
      const others =
        participants.find((one) => one.id === id)?.alerts.filter((alert) => alert !== name) ?? [];
      return change({ alerts: event.type === "tonetap.alert.raised" ? [...others, name] : others });
    }
    default:
      return participants;
  }
}
