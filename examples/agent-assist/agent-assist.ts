/**
 * Agent assist for a SIP call, in one command: a service that takes SIP calls, a customer who calls it, and what an agent
 * would want to know, line by line and on a page. `npm run example:agent-assist [-- --once]`
 */
import { Service } from "tonetap";
import { connect } from "tonetap/client";
import { play } from "./telephone.ts";

const once = process.argv.includes("--once");
const { PORT = "8080", SIP_PORT = "5060" } = process.env;

const service = await Service.open({
  service: { port: Number(PORT) },
  sip: { transports: ["udp"], port: Number(SIP_PORT) },
  alerts: {
    rules: [
      {
        id: "angry-customer",
        name: "The customer is angry",
        labels: ["angry", "disgust"],
        above: 0.6,
        minDurationMs: 2_000,
        roles: ["customer"],
      },
    ],
  },
});
const sip = service.sip?.addresses.get("udp");
if (sip === undefined) throw new TypeError("the service takes no SIP over UDP");

console.log(`Page      ${service.url.href}#/assist/support-42`);
console.log(`SIP       sip:tonetap@${sip.host}:${sip.port} (UDP)`);

const connection = connect(service.url, {
  filter: {
    calls: ["support-42"],
    kinds: [
      "participant.joined",
      "utterance",
      "participant.state",
      "alert.raised",
      "alert.cleared",
      "call.ended",
    ],
  },
});
const say = (time: string, text: string): void => console.log(`${time.slice(11, 19)}  ${text}`);

connection.on("participant.joined", ({ time, data }) =>
  say(time, `${data.displayName ?? data.participantId} is here: ${data.role}, by ${data.transport}`),
);
connection.on("participant.state", ({ time, data }) => {
  const [trend] = data.trends;
  const moves =
    trend === undefined || trend.forMs < 1_000
      ? ""
      : `; ${trend.of} ${trend.direction} for ${Math.round(trend.forMs / 1000)} s`;
  say(time, `  lately ${data.top} ${Math.round(data.confidence * 100)} %${moves}`);
});
connection.on("utterance", ({ time, data }) => {
  const { expression, durationMs } = data;
  const what = expression === undefined || expression.abstained ? "unsure" : expression.top;
  say(time, `  said something for ${(durationMs / 1000).toFixed(1)} s: ${what}`);
});
// Here your program opens a ticket, shows the agent a hint, calls a supervisor …
connection.on("alert.raised", ({ time, data }) =>
  say(time, `ALERT ${data.ruleName}: ${data.value.toFixed(2)}`),
);
connection.on("alert.cleared", ({ time, data }) =>
  say(time, `over: ${data.ruleName}, after ${(data.durationMs / 1000).toFixed(0)} s`),
);
connection.on("call.ended", ({ time }) => say(time, "the call is over"));

const stop = new AbortController();
process.once("SIGINT", () => stop.abort());
while (!stop.signal.aborted) {
  // A dialer forks both legs. The policy eu, the default, takes the customer's and refuses the agent's.
  const customer = play("customer", sip, stop.signal);
  const agent = await play("agent", sip, stop.signal);
  console.log(
    agent.asPlanned
      ? "Agent     refused with 403: the policy eu forbids to analyse the role agent"
      : `Agent     should have been refused: ${agent.text}`,
  );
  const { asPlanned, text } = await customer;
  console.log(asPlanned ? "Customer  was heard to the end, and hung up" : `Customer  was not heard: ${text}`);
  if (once) break;
}
// What the call's end said is still on its way.
await service.engine.drain();
await new Promise((resolve) => setTimeout(resolve, 200));
connection.close();
await service.close();
