/** Tonetap's own doors: plain RTP, SRTP, and WHIP with our SRTP or werift's. */
import { TonetapError } from "../../src/core/errors.ts";
import { createUdpRtpServer, parseInlineKey } from "../../src/transport/index.ts";
import { createWhipEndpoint } from "../../src/transport/werift/index.ts";
import type { DoorOptions, OpenDoor } from "./door.ts";

/** All streams on one port, told apart by SSRC. */
export async function openRtpDoor({ streams, key, onPacket }: DoorOptions): Promise<OpenDoor> {
  const server = await createUdpRtpServer({
    maxSources: streams,
    ...(key === undefined ? {} : { srtp: { remote: parseInlineKey(key.suite, key.inline) } }),
  });
  server.arrivals.subscribe(({ source }) => source.packets.subscribe(onPacket));
  return { ports: [server.address.port], note: key?.suite ?? "no encryption", close: () => server.close() };
}

/** A socket, ICE and DTLS a stream. */
export async function openWhipDoor({ streams, onPacket }: DoorOptions, ownSrtp: boolean): Promise<OpenDoor> {
  const endpoint = createWhipEndpoint({
    iceAdditionalHostAddresses: ["127.0.0.1"],
    iceUseIpv6: false,
    maxSessions: streams,
    ownSrtp,
    onSession: (source) => void source.packets.subscribe(onPacket),
  });
  return {
    ports: [],
    note: "AEAD_AES_128_GCM",
    close: () => endpoint.close(),
    answer: async (body) => {
      const { status, body: answer } = await endpoint.handle({
        method: "POST",
        path: "/whip",
        headers: { "content-type": "application/sdp" },
        query: new URLSearchParams(),
        body,
      });
      if (status !== 201) throw new TonetapError("protocol", `the WHIP endpoint said ${status}: ${answer}`);
      return answer;
    },
  };
}
