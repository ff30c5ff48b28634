/**
 * Tonetap under test: the whole service, fed from one UDP port, with its default configuration or what TONETAP_…
 * variables say. Measuring is subject.ts.
 */
import { tap } from "rxjs";
import { describeOptions, resolveConfig } from "../../src/config.ts";
import type { AudioSource } from "../../src/core/audio-source.ts";
import { OPUS } from "../../src/core/rtp.ts";
import type { Engine } from "../../src/engine.ts";
import { relaxHeapLimit } from "../../src/heap-limit.ts";
import type { Participant } from "../../src/participant.ts";
import { Service } from "../../src/service.ts";
import { createUdpRtpServer } from "../../src/transport/index.ts";
import type { SipReception } from "../../src/transport/sip/index.ts";
import { TONETAP_STAGES } from "./profile.ts";
import { OPUS_PAYLOAD_TYPE, OWN_DOOR, SSRC_BASE } from "./protocol.ts";
import { type Subject, type SubjectProbe, serveSubject } from "./subject.ts";

/** Asked for; the system may give less (Linux: net.core.rmem_max). */
const RECEIVE_BUFFER_BYTES = 4 << 20;
const OWN_RECEIVE_BUFFER_BYTES = 64 << 10;
const MAX_PARTICIPANTS = 2_000;

async function open(probe: SubjectProbe): Promise<Subject> {
  const { config, origins } = resolveConfig(process.env, { "service-port": "0" });
  const changed = describeOptions()
    .filter(({ path }) => origins.get(path) === "environment")
    .map(({ env }) => `${env}=${process.env[env]}`);
  // As serve.ts does.
  relaxHeapLimit();
  const service = await Service.open(config);
  const { engine } = service;
  const rtp = await createUdpRtpServer({
    clock: engine.clock,
    recvBufferBytes: RECEIVE_BUFFER_BYTES,
    maxSources: MAX_PARTICIPANTS,
  });
  const participants = new Map<number, Participant>();
  const door = process.env[OWN_DOOR];
  engine.events$.subscribe((event) => {
    // Who publishes over WHIP comes by itself.
    if (event.type === "tonetap.participant.joined" && door === "whip") {
      const { callId, participantId } = event.data;
      // It is said before it is so.
      queueMicrotask(() =>
        participants.set(Number(participantId), engine.participant(callId, participantId)),
      );
    }
    if (event.type !== "tonetap.emotion") return;
    probe.event(Number(event.data.participantId), engine.clock.now() - event.data.latency.totalMs);
  });
  return {
    description: {
      rtp: rtp.address,
      ...(door === "whip" ? { whip: new URL("whip", service.url).href } : {}),
      events: new URL("v1/events", service.url).href.replace(/^http/, "ws"),
      backend: [
        ...engine
          .describeBackends()
          .map(({ model, engine, provider }) => `${model} on ${engine}, ${provider}`),
        ...changed,
      ].join("; "),
    },
    stages: TONETAP_STAGES,
    counts() {
      const { batches, estimated } = engine.batcherStats;
      let receivedPackets = 0;
      let lostPackets = 0;
      let droppedWindows = 0;
      for (const { jitterStats, windows } of participants.values()) {
        receivedPackets += jitterStats.received;
        lostPackets += jitterStats.lost;
        droppedWindows += windows.dropped;
      }
      return { receivedPackets, lostPackets, droppedWindows, batches, batchedWindows: estimated };
    },
    async attach(participant) {
      if (door === "whip") return undefined;
      // Two to a call, as most are.
      const info = { callId: `call-${participant >> 1}`, participantId: String(participant) };
      if (door === "rtp") {
        const source = await engine.media.openRtp({ recvBufferBytes: OWN_RECEIVE_BUFFER_BYTES });
        const attached = await engine.attach(source, { ...info, role: "guest", consent: "granted" });
        participants.set(participant, attached);
        return source.address;
      }
      if (door === "sip") {
        const source = await openLeg(engine);
        const attached = await engine.attach(source, { ...info, role: "guest", consent: "granted" });
        participants.set(participant, attached);
        return source.address;
      }
      const source = watched(rtp.source(SSRC_BASE + participant), (timestamp, arrivalMs) =>
        probe.packet(participant, timestamp, arrivalMs),
      );
      const attached = await engine.attach(source, { ...info, role: "guest", consent: "granted" });
      participants.set(participant, attached);
      return undefined;
    },
    async detach(participant) {
      const attached = participants.get(participant);
      participants.delete(participant);
      await attached?.close();
    },
    async close() {
      await service.close();
      await rtp.close();
    },
  };
}

/** A call's audio as its signalling opens it, once an offer was answered. */
async function openLeg({ media }: Engine): Promise<SipReception> {
  const host = "127.0.0.1";
  const terms = { host, port: 0, rtcp: "next-port", mediaPeer: "signalled", signallingHost: host } as const;
  const reception = await media.openSip(terms, () => undefined);
  const codecs = new Map([[OPUS_PAYLOAD_TYPE, OPUS]]);
  // Of the port it need not be told: the peer is behind NAT, as it were.
  await reception.agree({ announced: { host, port: 9 }, codecs, onHold: false });
  return reception;
}

/** The source, telling of each packet as it passes. */
function watched(source: AudioSource, onPacket: (timestamp: number, arrivalMs: number) => void): AudioSource {
  const packets = source.packets.pipe(tap(({ timestamp, arrivalMs }) => onPacket(timestamp, arrivalMs)));
  const { kind, codecs, senderReports, requestRetransmission } = source;
  return {
    kind,
    codecs,
    packets,
    ...(senderReports === undefined ? {} : { senderReports }),
    ...(requestRetransmission === undefined ? {} : { requestRetransmission }),
    close: () => source.close(),
  };
}

await serveSubject(open);
