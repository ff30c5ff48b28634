/** A bot that acts when a customer sounds angry for a while: it sets the rule, then waits for alerts. `npm run example:react-to-anger [-- URL]` */
import { connect } from "tonetap/client";

const service = new URL(process.argv[2] ?? "http://127.0.0.1:8080");

const rule = {
  name: "A customer is angry",
  labels: ["angry", "disgust"],
  above: 0.6,
  minDurationMs: 2_000,
  roles: ["customer"],
};
const answer = await fetch(new URL("v1/alerts/rules/bot-anger", service), {
  method: "PUT",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(rule),
});
if (!answer.ok) {
  console.error(`the rule was not taken: ${await answer.text()}`);
  process.exit(1);
}

const connection = connect(service, { filter: { kinds: ["alert.raised", "alert.cleared"] } });
for await (const { type, data } of connection) {
  if (!("ruleId" in data) || data.ruleId !== "bot-anger") continue;
  // Here your bot calls a supervisor, pauses an upsell, opens a ticket …
  if (type === "tonetap.alert.raised") console.log(`${data.callId}: take over from the bot`);
  else console.log(`${data.callId}: calm again`);
}
