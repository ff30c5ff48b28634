/** A bad network between a WHIP publisher and an endpoint on this machine: every datagram goes through here. */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import type { WhipEndpoint, WhipRequest } from "../../../src/transport/werift/index.ts";

export interface BadNetwork extends AsyncDisposable {
  /** Share of the publisher's RTP packets that are lost, 0–1; RTCP, DTLS and STUN get through. */
  loss: number;
  /** Whether nothing gets through, either way. */
  down: boolean;
  /** RTP packets that came from the publisher, and those of them that were lost. */
  readonly counts: { rtp: number; lost: number };
  /** The endpoint as publishers on the other side see it: its one candidate is this network's. */
  readonly endpoint: Pick<WhipEndpoint, "handle">;
}

/** @param endpoint with 127.0.0.1 among its addresses; one publisher at a time. */
export async function badNetwork(endpoint: WhipEndpoint): Promise<BadNetwork> {
  const random = mulberry32(7);
  const outside = createSocket("udp4");
  outside.bind(0, "127.0.0.1");
  await once(outside, "listening");
  const { port } = outside.address();
  /** One socket a publisher's address, as a NAT has it. */
  const inside = new Map<number, Socket>();
  let serverPort = 0;
  const network: BadNetwork = {
    loss: 0,
    down: false,
    counts: { rtp: 0, lost: 0 },
    endpoint: {
      async handle(request) {
        const answer = await endpoint.handle({ ...request, body: withoutCandidates(request) });
        const found = /^a=candidate:(\S+) 1 udp (\d+) 127\.0\.0\.1 (\d+) typ host/m.exec(answer.body);
        if (found === null) return answer;
        serverPort = Number(found[3]);
        const line = `a=candidate:${found[1]} 1 udp ${found[2]} 127.0.0.1 ${port} typ host\r\n`;
        const body = answer.body
          .replaceAll(/a=candidate:.*\r\n/g, "")
          .replaceAll("a=end-of-candidates\r\n", `${line}a=end-of-candidates\r\n`);
        return { ...answer, body };
      },
    },
    async [Symbol.asyncDispose]() {
      for (const socket of [outside, ...inside.values()]) socket.close();
    },
  };
  outside.on("message", (datagram, from) => {
    if (isRtp(datagram)) {
      network.counts.rtp++;
      if (random() < network.loss) {
        network.counts.lost++;
        return;
      }
    }
    if (network.down) return;
    let socket = inside.get(from.port);
    if (socket === undefined) {
      socket = createSocket("udp4");
      socket.on("message", (back) => {
        if (!network.down) outside.send(back, from.port, from.address);
      });
      inside.set(from.port, socket);
    }
    socket.send(datagram, serverPort, "127.0.0.1");
  });
  return network;
}

/** The server must not find the publisher by itself. */
function withoutCandidates({ body }: WhipRequest): string {
  const text = typeof body === "string" ? body : new TextDecoder().decode(body);
  return text.replaceAll(/a=candidate:.*\r?\n/g, "");
}

/** RFC 7983 §7; RFC 5761 §4 for RTCP. */
function isRtp([first = 0, second = 0]: Buffer): boolean {
  const type = second & 0x7f;
  return first >= 128 && first < 192 && (type < 64 || type > 95);
}

/** Uniform in [0, 1), the same every time. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 4_294_967_296;
  };
}
