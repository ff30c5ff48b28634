/**
 * The doors of others, from test/peers/node_modules: node-datachannel, and mediasoup's DirectTransport. Typed by what is
 * used of them, because they are no dependencies of ours.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { TonetapError } from "../../src/core/errors.ts";
import type { DoorOptions, OpenDoor } from "./door.ts";

const PEERS = new URL("../../test/peers/node_modules/", import.meta.url);
const BUILD_WORKER = fileURLToPath(new URL("../../scripts/build-mediasoup-worker.sh", import.meta.url));

interface DatachannelTrack {
  onMessage(handler: (packet: Uint8Array) => void): void;
}

interface DatachannelPeer {
  onTrack(handler: (track: DatachannelTrack) => void): void;
  onGatheringStateChange(handler: (state: string) => void): void;
  setRemoteDescription(sdp: string, type: "offer"): void;
  localDescription(): { readonly sdp: string } | null;
  close(): void;
}

interface Datachannel {
  readonly PeerConnection: new (
    name: string,
    options: { iceServers: string[]; bindAddress: string },
  ) => DatachannelPeer;
}

/** libdatachannel: ICE, DTLS and SRTP on native threads, a call into Node a packet. */
export async function openDatachannelDoor({ onPacket }: DoorOptions): Promise<OpenDoor> {
  const { PeerConnection } = await load<Datachannel>("node-datachannel/dist/esm/lib/index.mjs");
  const peers: DatachannelPeer[] = [];
  const tracks: DatachannelTrack[] = [];
  return {
    ports: [],
    note: "libsrtp's choice",
    close: async () => {
      for (const peer of peers) peer.close();
      tracks.length = 0;
    },
    answer: (sdp) =>
      new Promise((resolve) => {
        const peer = new PeerConnection("receiver", { iceServers: [], bindAddress: "127.0.0.1" });
        // Collected, a peer or track falls silent.
        peers.push(peer);
        peer.onTrack((track) => {
          tracks.push(track);
          track.onMessage((packet) => {
            // RTCP comes by the same way.
            if (((packet[1] ?? 0) & 0x7f) === 111) onPacket();
          });
        });
        peer.onGatheringStateChange((state) => {
          if (state === "complete") resolve(peer.localDescription()?.sdp ?? "");
        });
        peer.setRemoteDescription(sdp, "offer");
      }),
  };
}

interface MediasoupTransport {
  readonly tuple: { readonly localPort: number };
  produce(options: object): Promise<{ readonly id: string }>;
  consume(options: object): Promise<{ on(event: "rtp", handler: () => void): void }>;
}

interface Mediasoup {
  readonly version: string;
  createWorker(options: object): Promise<{
    createRouter(options: object): Promise<{
      readonly rtpCapabilities: object;
      createPlainTransport(options: object): Promise<MediasoupTransport>;
      createDirectTransport(): Promise<MediasoupTransport>;
    }>;
    close(): void;
    /** ms. */
    getResourceUsage(): Promise<{ readonly ru_utime: number; readonly ru_stime: number }>;
  }>;
}

/** Plain RTP into the worker, a DirectTransport out of it: what `tonetap/mediasoup` reads. */
export async function openMediasoupDoor({ streams, onPacket }: DoorOptions): Promise<OpenDoor> {
  const build = spawnSync("bash", [BUILD_WORKER], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  if (build.status === 0) process.env.MEDIASOUP_WORKER_BIN ??= build.stdout.trim();
  const { createWorker, version } = await load<Mediasoup>("mediasoup/node/lib/index.js");
  const worker = await createWorker({ logLevel: "error" });
  const opus = { mimeType: "audio/opus", clockRate: 48_000, channels: 2 };
  const router = await worker.createRouter({ mediaCodecs: [{ kind: "audio", ...opus }] });
  const direct = await router.createDirectTransport();
  const ports: number[] = [];
  for (let stream = 0; stream < streams; stream++) {
    const transport = await router.createPlainTransport({
      listenInfo: { protocol: "udp", ip: "127.0.0.1" },
      rtcpMux: true,
      comedia: true,
    });
    const producer = await transport.produce({
      kind: "audio",
      rtpParameters: { codecs: [{ ...opus, payloadType: 111 }], encodings: [{ ssrc: 1 + stream }] },
    });
    const { rtpCapabilities } = router;
    const consumer = await direct.consume({ producerId: producer.id, rtpCapabilities });
    consumer.on("rtp", onPacket);
    ports.push(transport.tuple.localPort);
  }
  return {
    ports,
    note: `none; mediasoup ${version}, worker's CPU included`,
    close: async () => worker.close(),
    otherCpuMicros: async () => {
      const { ru_utime, ru_stime } = await worker.getResourceUsage();
      return 1_000 * (ru_utime + ru_stime);
    },
  };
}

/** @throws TonetapError unavailable when it is not installed, or its binary is missing. */
async function load<T>(file: string): Promise<T> {
  const url = new URL(file, PEERS);
  if (!existsSync(url)) {
    throw new TonetapError(
      "unavailable",
      `${file.split("/")[0]} is not installed: npm ci --prefix test/peers --ignore-scripts`,
    );
  }
  return (await import(url.href)) as T;
}
