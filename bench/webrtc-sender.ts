/** A WebRTC peer that sends what it is given: ICE and DTLS are werift's, SRTP is ours, which leaves more of the machine to the receiver. */
import { RTCPeerConnection, RTCRtpCodecParameters, RTCRtpHeaderExtensionParameters } from "werift";
import { TonetapError } from "../src/core/errors.ts";
import { SrtpSender } from "../src/transport/index.ts";
import { suiteOfDtlsProfile } from "../src/transport/srtp/index.ts";

export interface WebrtcSender {
  /** Sends one RTP packet, payload type 111. */
  send(packet: Uint8Array): void;
  close(): Promise<void>;
}

/** @throws TonetapError unavailable when the peers agree on no SRTP profile of ours */
export async function webrtcSender(answerOf: (offer: string) => Promise<string>): Promise<WebrtcSender> {
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
    send: (packet) => void connection.send(Buffer.from(srtp.protectRtp(packet))),
    close: () => peer.close(),
  };
}
