/** Attach one RTP stream, watch what the voice expresses. Send it Opus: `ffmpeg -re -i call.wav -c:a libopus -payload_type 111 -f rtp rtp://127.0.0.1:5004` */
import { createEngine, createUdpRtpSource } from "tonetap";

const engine = await createEngine();
const source = await createUdpRtpSource({ port: 5004 });
const caller = await engine.attach(source, {
  callId: "support-42",
  participantId: "caller",
  role: "customer",
  consent: "granted",
});
engine.events$.subscribe((event) => {
  if (event.type === "tonetap.speech.started") console.log("speaks …");
});
for await (const { data } of engine.stream({ filter: { kinds: ["emotion"] } })) {
  if (data.abstained) continue;
  console.log(data.top, data.confidence);
  if (data.top === "angry" && data.confidence > 0.7) break;
}
await caller.close();
await engine.close();
