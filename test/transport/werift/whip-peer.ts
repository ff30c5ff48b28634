/** A WHIP publisher made of werift, and requests to an endpoint without HTTP in between. */
import { createSocket } from "node:dgram";
import {
  Candidate,
  candidateToSdp,
  MediaStreamTrack,
  RTCPeerConnection,
  RTCRtpCodecParameters,
  RTCRtpHeaderExtensionParameters,
  RtpHeader,
  RtpPacket,
} from "werift";
import type { WhipEndpoint, WhipRequest, WhipResponse } from "../../../src/transport/werift/index.ts";
import { AUDIO_LEVEL_URI } from "../../../src/transport/werift/whip-offer.ts";

/** ICE on 127.0.0.1: nothing leaves the machine. */
export const LOOPBACK = { iceAdditionalHostAddresses: ["127.0.0.1"], iceUseIpv6: false };

/** What an endpoint says to a request with these parts; the rest is as a publisher would send it. */
export function ask(
  endpoint: WhipEndpoint,
  method: string,
  path: string,
  request: Partial<Omit<WhipRequest, "query">> & { query?: string } = {},
): Promise<WhipResponse> {
  const type = method === "PATCH" ? "application/trickle-ice-sdpfrag" : "application/sdp";
  return endpoint.handle({
    method,
    path,
    headers: { "content-type": type, ...request.headers },
    query: new URLSearchParams(request.query ?? ""),
    body: request.body ?? "",
  });
}

/** The reason in a refusal. */
export const detail = (response: WhipResponse): string => JSON.parse(response.body).detail;

/** Ids of header extensions and payload types as Chromium has them. */
export const AUDIO_LEVEL_ID = 1;
export const OPUS_TYPE = 111;

export interface Publisher {
  readonly peer: RTCPeerConnection;
  readonly offer: string;
  /** Takes the answer and waits until it is connected. */
  connect(answer: string): Promise<void>;
  /** Begins another ICE session: gives the fragment to PATCH, then takes the server's. */
  restartIce(): Promise<{ fragment: string; take: (answer: string) => Promise<void> }>;
  /** Sends one packet of 20 ms with an audio level. */
  send(sequence: number, payload: Uint8Array, level?: { voice: boolean; level: number }): void;
  /** Generic NACKs that came, as sequence numbers. */
  readonly nacked: number[];
  close(): Promise<void>;
}

export async function createPublisher(): Promise<Publisher> {
  const peer = new RTCPeerConnection({
    iceServers: [],
    ...LOOPBACK,
    codecs: {
      audio: [
        new RTCRtpCodecParameters({
          mimeType: "audio/opus",
          clockRate: 48_000,
          channels: 2,
          payloadType: OPUS_TYPE,
          parameters: "minptime=10;useinbandfec=1",
        }),
      ],
      video: [],
    },
    headerExtensions: { audio: [new RTCRtpHeaderExtensionParameters({ uri: AUDIO_LEVEL_URI })] },
  });
  const track = new MediaStreamTrack({ kind: "audio" });
  const { sender } = peer.addTransceiver(track, { direction: "sendonly" });
  // iceServers: [] leaves werift with a public STUN server.
  for (const { connection } of peer.iceTransports) delete connection.stunServer;
  const nacked: number[] = [];
  sender.onGenericNack.subscribe((nack) => {
    nacked.push(...nack.lost);
  });
  await peer.setLocalDescription(await peer.createOffer());
  return {
    peer,
    nacked,
    offer: peer.localDescription?.sdp ?? "",
    async connect(answer) {
      const connected = new Promise<void>((resolve) => {
        peer.connectionStateChange.subscribe((state) => {
          if (state === "connected") resolve();
        });
      });
      await peer.setRemoteDescription({ type: "answer", sdp: answer });
      await connected;
    },
    async restartIce() {
      // As the server does it: werift's own restart, by an offer, starts no checks once DTLS is connected.
      const transport = peer.iceTransports[0];
      if (transport === undefined) throw new Error("the publisher has no transport");
      const { connection } = transport;
      connection.restart();
      await connection.gatherCandidates();
      const { usernameFragment, password } = transport.localParameters;
      const candidates = transport.localCandidates.map(
        (candidate) => `a=candidate:${candidateToSdp(candidate)}`,
      );
      return {
        fragment: [`a=ice-ufrag:${usernameFragment}`, `a=ice-pwd:${password}`, ...candidates, ""].join(
          "\r\n",
        ),
        async take(answer) {
          const value = (name: string): string => new RegExp(`a=${name}:(\\S+)`).exec(answer)?.[1] ?? "";
          connection.setRemoteParams({
            iceLite: false,
            usernameFragment: value("ice-ufrag"),
            password: value("ice-pwd"),
          });
          for (const [, line] of answer.matchAll(/^a=(candidate:.*)\r$/gm)) {
            await connection.addRemoteCandidate(Candidate.fromSdp((line ?? "").slice("candidate:".length)));
          }
          await connection.connect();
        },
      };
    },
    send(sequence, payload, level = { voice: true, level: 20 }) {
      const header = new RtpHeader({
        sequenceNumber: sequence,
        timestamp: sequence * 960,
        payloadType: OPUS_TYPE,
        extension: true,
        extensions: [{ id: AUDIO_LEVEL_ID, payload: Buffer.of((level.voice ? 0x80 : 0) | level.level) }],
      });
      track.writeRtp(new RtpPacket(header, Buffer.from(payload)));
    },
    close: () => peer.close(),
  };
}

/** UDP sockets and timers that this process holds: what a session must give back. */
export function heldResources(): { sockets: number; timers: number } {
  const held = process.getActiveResourcesInfo();
  return {
    sockets: held.filter((name) => name === "UDPWrap").length,
    timers: held.filter((name) => name === "Timeout").length,
  };
}

/** A STUN server on 127.0.0.1 that tells everyone the same address. RFC 8489 §14.2. */
export async function stunServer(
  address: readonly [number, number, number, number],
  port: number,
): Promise<{ port: number; close: () => void }> {
  const cookie = [0x21, 0x12, 0xa4, 0x42] as const;
  const socket = createSocket("udp4", (request, from) => {
    const mapped = address.map((byte, i) => byte ^ (cookie[i] ?? 0));
    const xorPort = port ^ 0x2112;
    const attribute = [0x00, 0x20, 0, 8, 0, 1, xorPort >> 8, xorPort & 0xff, ...mapped];
    const answer = Buffer.from([
      0x01,
      0x01,
      0,
      attribute.length,
      ...cookie,
      ...request.subarray(8, 20),
      ...attribute,
    ]);
    socket.send(answer, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return { port: socket.address().port, close: () => socket.close() };
}
