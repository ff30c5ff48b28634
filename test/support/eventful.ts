/** A call on the page with everything that can be shown, out of the protocol's own examples: no audio, and at once. */
import { eventExamples } from "../../src/events/event-examples.ts";
import type { EventKind, TonetapEvent } from "../../src/events/index.ts";
import type { Service } from "../../src/service.ts";

/** In an order that leaves the call live, its participant speaking, and an alert standing. */
const ORDER: readonly EventKind[] = [
  "call.started",
  "participant.joined",
  "participant.notice",
  "participant.resumed",
  "speech.started",
  "emotion",
  "utterance",
  "participant.state",
  "call.state",
  "quality",
  "alert.raised",
  "service.stats",
];

/** @returns the id of the call */
export function publishExamples(service: Service): string {
  const examples = eventExamples();
  for (const kind of ORDER) {
    const event = examples[kind] as TonetapEvent;
    service.engine.hub.publish(event);
  }
  // Two more, of whom one is unsure and one waits for consent: the other states of a card.
  const { data: joined } = examples["participant.joined"];
  const { data: emotion } = examples.emotion;
  for (const [participantId, abstained] of [
    ["unsure", true],
    ["waiting", undefined],
  ] as const) {
    const own = <T extends object>(event: T, data: object): TonetapEvent =>
      ({ ...event, data }) as unknown as TonetapEvent;
    service.engine.hub.publish(
      own(examples["participant.joined"], {
        ...joined,
        participantId,
        displayName: participantId,
        consent: abstained === undefined ? "pending" : "granted",
        paused: abstained === undefined,
      }),
    );
    if (abstained !== undefined) {
      service.engine.hub.publish(own(examples.emotion, { ...emotion, participantId, abstained }));
    }
  }
  return joined.callId;
}
