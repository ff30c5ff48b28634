/** A program that has werift connections of its own: each voice that comes in by one is a participant. */
import { createEngine } from "tonetap";
import { attachPeer } from "tonetap/werift";
import { RTCPeerConnection, useAudioLevelIndication, useOPUS } from "werift";

export const engine = await createEngine();
engine.events$.subscribe(({ type, data }) => console.log(type, data));

/** @returns the connection that answers a browser's offer; its `localDescription` goes back to the browser */
export async function answer(offer: string, participantId: string): Promise<RTCPeerConnection> {
  const peer = new RTCPeerConnection({
    codecs: { audio: [useOPUS()] },
    headerExtensions: { audio: [useAudioLevelIndication()] },
  });
  await peer.setRemoteDescription({ type: "offer", sdp: offer });
  await peer.setLocalDescription(await peer.createAnswer());
  const source = attachPeer(peer);
  await engine.attach(source, { callId: "room-1", participantId, role: "customer", consent: "granted" });
  return peer;
}
