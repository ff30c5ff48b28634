/** The service with its RTP ports, which also keeps what is heard there: for senders that are programs. */
import type { AudioSource } from "../../../src/core/audio-source.ts";
import type { TonetapEvent } from "../../../src/events/index.ts";
import { Service } from "../../../src/service.ts";
import { type Listening, listening } from "../../transport/sip/listening.ts";

export interface RtpDoor {
  readonly port: number;
  readonly heard: Listening;
}

export class RtpService implements AsyncDisposable {
  readonly service: Service;
  readonly events: TonetapEvent[] = [];
  readonly #onAttach: ((source: AudioSource) => void)[] = [];

  private constructor(service: Service) {
    this.service = service;
    service.engine.events$.subscribe((event) => this.events.push(event));
    const attach = service.engine.attach.bind(service.engine);
    service.engine.attach = (source, info) => {
      this.#onAttach.shift()?.(source);
      return attach(source, info);
    };
  }

  static async open(): Promise<RtpService> {
    return new RtpService(await Service.open({ service: { port: 0 }, model: { device: "cpu" } }));
  }

  /** POST /v1/rtp for a customer who consents. */
  async door(participantId: string, body: Readonly<Record<string, unknown>> = {}): Promise<RtpDoor> {
    const heard = await listening();
    this.#onAttach.push(heard.listen);
    const response = await fetch(new URL("/v1/rtp", this.service.url), {
      method: "POST",
      body: JSON.stringify({ callId: "rtp", participantId, role: "customer", consent: "granted", ...body }),
    });
    const { port } = (await response.json()) as { port: number };
    return { port, heard };
  }

  /** DELETE of the participant. */
  async detach(participantId: string): Promise<void> {
    await fetch(new URL(`/v1/calls/rtp/participants/${participantId}`, this.service.url), {
      method: "DELETE",
    });
  }

  /** Events of one kind about one participant. */
  of<K extends TonetapEvent["type"]>(type: K, participantId: string): Extract<TonetapEvent, { type: K }>[] {
    return this.events.filter(
      (event): event is Extract<TonetapEvent, { type: K }> =>
        event.type === type && "participantId" in event.data && event.data.participantId === participantId,
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.service.close();
  }
}
