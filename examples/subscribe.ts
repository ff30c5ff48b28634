/** Subscribes to a running service (`npm start`) from any program, in a browser or in Node. Reconnects by itself. `npm run example:subscribe [-- URL]` */
import { connect } from "tonetap/client";

const connection = connect(process.argv[2] ?? "http://127.0.0.1:8080", {
  filter: { kinds: ["emotion", "speech.ended"] },
});
connection.on("status", ({ state }) => console.error(state));

for await (const event of connection) {
  if (event.type !== "tonetap.emotion" || event.data.abstained) continue;
  const { callId, participantId, top, confidence, valence } = event.data;
  console.log(`${callId} ${participantId}: ${top} ${Math.round(confidence * 100)} %, valence ${valence}`);
}
