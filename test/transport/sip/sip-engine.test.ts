/** A telephone call through the whole engine: from INVITE to emotion events, to participant.left after BYE. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/core/clock.ts";
import { OPUS, PCMU } from "../../../src/core/rtp.ts";
import type { Engine } from "../../../src/engine.ts";
import { createRtpSender } from "../../../src/transport/index.ts";
import { createSipServer, type SipServer } from "../../../src/transport/sip/index.ts";
import { openEngine, type Recorder, recordedFrames, upTo } from "../../engine/support.ts";
import { pcmuFrames, telephoneVoice } from "../../support/pcmu.ts";
import { callScenario, runSipp } from "../../support/sipp.ts";
import { hasPeer } from "../../support/system-peers.ts";
import { eventually } from "../loopback.ts";
import { offer } from "./messages.ts";
import { Phone } from "./phone.ts";

describe("SIP into an engine", { concurrent: true }, () => {
  let engine: Engine;
  let seen: Recorder;
  let server: SipServer;

  beforeAll(async () => {
    ({ engine, seen } = await openEngine());
    server = await createSipServer({
      port: 0,
      onCall: (source, { participant }) => engine.attach(source, participant),
    });
  });
  afterAll(async () => {
    await server.close();
    await engine.close();
    expect(server.held).toEqual({ calls: 0, transactions: 0, connections: 0, rtpPorts: 0 });
  });

  const address = () => ({ host: "127.0.0.1", port: server.addresses.get("udp")?.port ?? 0 });

  test.skipIf(!hasPeer("sipp"))(
    "sipp sends 7 s of PCMU as a customer who agreed: at least 2 emotions of that call, left after BYE",
    async () => {
      const { pcmu } = await telephoneVoice("anna", 0, 7_000);
      const headers = [
        "X-Tonetap-Call: support-4711",
        "X-Tonetap-Participant: caller",
        "X-Tonetap-Role: customer",
        "X-Tonetap-Consent: granted",
      ];
      const scenario = callScenario({ headers, plays: true, lengthMs: 10_000 });
      const { code, log } = await runSipp({ scenario, transport: "u1", port: address().port, voice: pcmu });
      expect(code, log).toBe(0);

      const left = await seen.first("participant.left", ({ data }) => data.callId === "support-4711");

      expect(left.data).toMatchObject({ participantId: "caller", role: "customer", reason: "left" });
      const joined = await seen.first("participant.joined", ({ data }) => data.callId === "support-4711");
      expect(joined.data).toMatchObject({ transport: "sip", consent: "granted", displayName: "Anna" });
      const emotions = seen.of("emotion", "caller");
      expect(emotions.length).toBeGreaterThanOrEqual(2);
      expect(emotions.every(({ data }) => data.callId === "support-4711" && data.role === "customer")).toBe(
        true,
      );
      expect(seen.of("quality", "caller").at(-1)?.data.packets).toMatchObject({ lost: 0, ignored: 0 });
      await seen.first("call.ended", ({ data }) => data.callId === "support-4711");
    },
  );

  test("4 s of Opus, then a re-INVITE to PCMU for 3 s: one participant, emotions from both, on the sender's clock", async () => {
    await using phone = await Phone.udp(address());
    const opusOffer = offer({ media: "RTP/AVP 111 0", extra: ["a=rtpmap:111 opus/48000/2", "a=rtcp-mux"] });
    const headers = ["X-Tonetap-Participant: wide", "X-Tonetap-Consent: granted"];
    const { rtp, toTag } = await phone.call({ headers, body: opusOffer });
    const sender = await createRtpSender({ clock: systemClock, codec: OPUS, payloadType: 111, ...rtp });
    await sender.play(upTo(await recordedFrames("anna"), 4_000));
    await phone.ask("INVITE", { cseq: 2, toTag, body: offer({ media: "RTP/AVP 0", extra: ["a=rtcp-mux"] }) });
    await phone.send(phone.compose("ACK", { cseq: 2, toTag }));
    const { pcmu } = await telephoneVoice("anna", 4_000, 3_000);
    await sendPcmu(rtp, pcmu);
    await sender.close();
    await phone.ask("BYE", { cseq: 3, toTag });

    const left = await seen.first("participant.left", ({ data }) => data.participantId === "wide");

    expect(left.data.reason).toBe("left");
    const emotions = seen.of("emotion", "wide");
    const ends = emotions.map(({ data }) => data.media.endMs);
    expect(ends.filter((endMs) => endMs <= 4_000).length).toBeGreaterThanOrEqual(1);
    // The window of 3 s that ends at 7 s holds nothing but PCMU.
    expect(ends.filter((endMs) => endMs > 5_000).length).toBeGreaterThanOrEqual(1);
    expect(emotions.at(-1)?.data.wall.source).toBe("ntp");
  });

  test("an agent is refused with 403 by the eu policy, a participant who is there already with 486", async () => {
    await using phone = await Phone.udp(address());
    const refused = await phone.ask("INVITE", { body: offer(), headers: ["X-Tonetap-Role: agent"] });
    expect(refused.status).toBe(403);
    const twice = ["X-Tonetap-Call: twice", "X-Tonetap-Participant: one"];
    phone.callId = "first-leg";
    const { toTag } = await phone.call({ headers: twice });
    phone.callId = "second-leg";
    expect((await phone.ask("INVITE", { body: offer(), headers: twice })).status).toBe(486);
    phone.callId = "first-leg";
    await phone.ask("BYE", { cseq: 2, toTag });
    await seen.first("participant.left", ({ data }) => data.callId === "twice");
  });

  test("closing a participant hangs up: 1 BYE to the phone", async () => {
    await using phone = await Phone.udp(address());
    await phone.call({ headers: ["X-Tonetap-Call: hangup", "X-Tonetap-Participant: one"] });
    await phone.settled();
    await engine.participant("hangup", "one").close();
    await phone.answer(await phone.request("BYE"));
    await eventually(() => seen.of("call.ended").some(({ data }) => data.callId === "hangup"));
  });
});

async function sendPcmu(to: { host: string; port: number }, pcmu: Uint8Array): Promise<void> {
  const sender = await createRtpSender({ clock: systemClock, codec: PCMU, payloadType: 0, ...to });
  await sender.play(pcmuFrames(pcmu));
  await sender.close();
}
