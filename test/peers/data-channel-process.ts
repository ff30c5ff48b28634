/** The process of one libdatachannel publisher: offers one Opus track, and sends what it is told to. Started by data-channel-publisher.ts. */
import { Audio, PeerConnection } from "node-datachannel";
import { sleep, systemClock } from "../../src/core/clock.ts";
import type { FromPublisher, ToPublisher } from "./data-channel-protocol.ts";

const say = (message: FromPublisher): void => {
  process.send?.(message);
};

const audio = new Audio("audio", "SendOnly");
audio.addOpusCodec(111);
audio.addSSRC(Number(process.argv[2]), "publisher");
const peer = new PeerConnection("publisher", { iceServers: [] });
const track = peer.addTrack(audio);
track.onOpen(() => say({ kind: "open" }));
peer.onGatheringStateChange((state) => {
  if (state === "complete") say({ kind: "offer", sdp: peer.localDescription()?.sdp ?? "" });
});

async function speak(packets: readonly Uint8Array[]): Promise<void> {
  const start = systemClock.now();
  for (const [i, packet] of packets.entries()) {
    await sleep(systemClock, Math.max(0, start + i * 20 - systemClock.now()));
    track.sendMessageBinary(Buffer.from(packet));
  }
  say({ kind: "spoken" });
}

process.on("message", (message: ToPublisher) => {
  if (message.kind === "answer") peer.setRemoteDescription(message.sdp, "answer");
  else void speak(message.packets);
});
// An orderly end would run the binding's destructors.
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
peer.setLocalDescription();
