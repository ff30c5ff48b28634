/** The sending side: RTP streams of speech's shape and rate, plain, as SRTP, or over WebRTC. Costs nothing to the receiver. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { RTCPeerConnection, RTCRtpCodecParameters, RTCRtpHeaderExtensionParameters } from "werift";
import { sleep, systemClock } from "../../src/core/clock.ts";
import { TonetapError } from "../../src/core/errors.ts";
import { audioLevelExtension, parseInlineKey, SrtpSender, serializeRtp } from "../../src/transport/index.ts";
import { suiteOfDtlsProfile } from "../../src/transport/srtp/index.ts";
import type { DoorKey } from "./protocol.ts";

/** Opus at 24 kbit/s. */
const PAYLOAD = Uint8Array.from({ length: 60 }, (_, i) => (i === 0 ? 9 << 3 : 37 * i));
export const FRAME_MS = 20;

/** Sends packet `n` of a stream. */
export type Publisher = (n: number) => void;

export const packet = (n: number, ssrc: number): Uint8Array =>
  serializeRtp({
    sequence: n,
    timestamp: 960 * n,
    ssrc,
    payloadType: 111,
    payload: PAYLOAD,
    extensions: [audioLevelExtension(1, { voice: true, level: 30 })],
  });

/** Streams over UDP from one socket. @param ports one a stream, or one for all */
export async function udpPublishers(
  ports: readonly number[],
  streams: number,
  key: DoorKey | undefined,
): Promise<Publisher[]> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  socket.unref();
  const srtp = key === undefined ? undefined : new SrtpSender(parseInlineKey(key.suite, key.inline));
  return Array.from({ length: streams }, (_, i) => (n: number) => {
    const plain = packet(n, 1 + i);
    socket.send(srtp?.protectRtp(plain) ?? plain, ports[i % ports.length] ?? 0, "127.0.0.1");
  });
}

/** One WebRTC peer: ICE and DTLS are werift's, SRTP is ours, which leaves more of the machine to the receiver. */
export async function webrtcPublisher(
  ssrc: number,
  answerOf: (offer: string) => Promise<string>,
): Promise<{ publish: Publisher; close: () => Promise<void> }> {
  const peer = new RTCPeerConnection({
    iceServers: [],
    iceAdditionalHostAddresses: ["127.0.0.1"],
    iceUseIpv6: false,
    codecs: {
      audio: [
        new RTCRtpCodecParameters({
          mimeType: "audio/opus",
          clockRate: 48_000,
          channels: 2,
          payloadType: 111,
        }),
      ],
      video: [],
    },
    headerExtensions: {
      audio: [new RTCRtpHeaderExtensionParameters({ uri: "urn:ietf:params:rtp-hdrext:ssrc-audio-level" })],
    },
  });
  peer.addTransceiver("audio", { direction: "sendonly" });
  // Without servers werift asks a public one.
  for (const { connection } of peer.iceTransports) delete connection.stunServer;
  await peer.setLocalDescription(await peer.createOffer());
  const sdp = await answerOf(peer.localDescription?.sdp ?? "");
  const connected = peer.connectionStateChange.watch((state) => state === "connected", 20_000);
  await peer.setRemoteDescription({ type: "answer", sdp });
  await connected;
  const [transport] = peer.dtlsTransports;
  const suite = suiteOfDtlsProfile(transport?.srtp.config.profile ?? 0);
  if (transport === undefined || suite === undefined) {
    throw new TonetapError("unavailable", "werift agreed on no SRTP profile of ours");
  }
  const { localMasterKey: key, localMasterSalt: salt } = transport.srtp.config.keys;
  const srtp = new SrtpSender({ suite, key, salt });
  const { connection } = transport.iceTransport;
  return {
    publish: (n) => void connection.send(Buffer.from(srtp.protectRtp(packet(n, ssrc)))),
    close: () => peer.close(),
  };
}

/** Every publisher sends 50 packets a second, evenly spread, numbered from `first`. @returns packets of each */
export async function play(
  publishers: readonly Publisher[],
  seconds: number,
  first: number,
): Promise<number> {
  const frames = Math.round((seconds * 1_000) / FRAME_MS);
  const total = frames * publishers.length;
  const startMs = systemClock.now();
  let sent = 0;
  while (sent < total) {
    const due = Math.min(total, Math.floor(((systemClock.now() - startMs) * publishers.length) / FRAME_MS));
    for (; sent < due; sent++) {
      publishers[sent % publishers.length]?.(first + Math.floor(sent / publishers.length));
    }
    await sleep(systemClock, 1);
  }
  return frames;
}
