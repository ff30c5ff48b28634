/** SIP as part of the service: its options, its files, and a call that is seen over HTTP and WebSocket. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connect } from "../../src/client/index.ts";
import type { ConfigInput } from "../../src/config.ts";
import { systemClock } from "../../src/core/clock.ts";
import { OPUS, PCMU } from "../../src/core/rtp.ts";
import type { EventOf } from "../../src/events/index.ts";
import { Service } from "../../src/service.ts";
import { createRtpSender, RtpStream } from "../../src/transport/index.ts";
import type { SipSource } from "../../src/transport/sip/sip-source.ts";
import { createSdes, formatSdes, SrtpSender } from "../../src/transport/srtp/index.ts";
import { createCertificate, hasOpenssl } from "../support/certificate.ts";
import { eventually, Peer } from "../transport/loopback.ts";
import { offer } from "../transport/sip/messages.ts";
import { Phone, tagOf } from "../transport/sip/phone.ts";
import { MIXED_TYPE, metadata, multipart, streamsOffer } from "../transport/sip/siprec/documents.ts";
import { PATIENT_MODEL, recordedFrames, upTo } from "./support.ts";

const model = PATIENT_MODEL;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tonetap-sip-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

const open = (sip: NonNullable<ConfigInput["sip"]>, count = 0): Promise<Service> =>
  Service.open({ service: { port: 0 }, model, shards: { count }, sip: { port: 0, ...sip } });

const udpOf = (service: Service) => service.sip?.addresses.get("udp") ?? expect.unreachable("no SIP");

describe("SIP in the service", { concurrent: true }, () => {
  test.each([0, 2])(
    "on %i shards, 4 s of a SIP call stand in /v1/calls with role and consent, and come out as events; closing says BYE",
    async (count) => {
      const service = await open({ transports: ["udp", "tcp"], defaultRole: "customer" }, count);
      const connection = connect(service.url, { filter: { calls: ["pbx-1"] } });
      const emotion = new Promise<EventOf<"emotion">>((resolve) => connection.on("emotion", resolve));
      const left = new Promise<EventOf<"participant.left">>((resolve) =>
        connection.on("participant.left", resolve),
      );
      await using phone = await Phone.udp(udpOf(service));
      const { rtp } = await phone.call({
        headers: ["X-Tonetap-Call: pbx-1", "X-Tonetap-Consent: granted"],
        body: offer({ media: "RTP/AVP 111", extra: ["a=rtpmap:111 opus/48000/2", "a=rtcp-mux"] }),
      });
      const listed = (await (await fetch(new URL("v1/calls/pbx-1", service.url))).json()) as object;
      expect(JSON.stringify(listed)).toContain('"participantId":"anna"');

      const sender = await createRtpSender({ clock: systemClock, codec: OPUS, payloadType: 111, ...rtp });
      await sender.play(upTo(await recordedFrames("anna"), 4_000));
      await sender.close();

      expect((await emotion).data).toMatchObject({
        callId: "pbx-1",
        participantId: "anna",
        role: "customer",
      });
      const closing = service.close();
      await phone.answer(await phone.request("BYE"));
      await closing;
      expect((await left).data).toMatchObject({ reason: "shutdown", windows: { dropped: 0 } });
      expect(service.sip?.held).toEqual({ calls: 0, transactions: 0, connections: 0, rtpPorts: 0 });
      connection.close();
    },
  );

  test("a recording of 2: the customer is analysed once its metadata grants consent, which cannot undo a withdrawal; the agent is refused by the policy eu", async () => {
    await using service = await open({ transports: ["tcp"], tenant: "acme", recordingRoles: ["ben=agent"] });
    const told: string[] = [];
    service.engine.events$.subscribe(({ type, data }) => {
      if ("participantId" in data)
        told.push(`${type.replace("tonetap.participant.", "")} ${data.participantId}`);
    });
    await using phone = await Phone.stream(service.sip?.addresses.get("tcp") ?? expect.unreachable());
    const people = [
      { id: "anna", sends: ["1"] },
      { id: "ben", sends: ["2"] },
    ];
    const streams = streamsOffer([{ label: "1" }, { label: "2" }]);
    const headers = ["Require: siprec", "X-Tonetap-Call: pbx-2"];
    const body = multipart(streams, metadata(people));
    const ok = await phone.ask("INVITE", { headers, type: MIXED_TYPE, body });
    expect(ok.status).toBe(200);
    await phone.send(phone.compose("ACK", { toTag: tagOf(ok) }));
    const granted = '<consent xmlns="urn:tonetap:siprec:1">granted</consent>';
    const update = metadata([{ id: "anna", extra: granted }], "partial");
    const type = "application/rs-metadata+xml";
    expect((await phone.ask("UPDATE", { type, body: update, toTag: tagOf(ok), cseq: 2 })).status).toBe(200);
    await eventually(() => told.includes("resumed anna"));
    const anna = service.engine.participant("acme~pbx-2", "anna");
    expect(anna.consent).toBe("granted");
    await anna.setConsent("withdrawn", "anna pressed 9");
    for (const [cseq, consent] of [
      [3, "pending"],
      [4, "granted"],
    ] as const) {
      const body = metadata([{ id: "anna", extra: granted.replace("granted", consent) }], "partial");
      expect((await phone.ask("UPDATE", { type, body, toTag: tagOf(ok), cseq })).status).toBe(200);
    }
    expect([anna.consent, anna.consentBy]).toEqual(["withdrawn", "anna pressed 9"]);
    await phone.ask("BYE", { toTag: tagOf(ok), cseq: 5 });
    await eventually(() => told.includes("left anna"));
    expect(told.filter((event) => event.endsWith("ben"))).toEqual([]);
    await eventually(() => service.sip?.held.rtpPorts === 0);
  });

  test("a peer that dies without BYE has left as inactive after 4 s, and its 2 ports are free", async () => {
    await using service = await open({ transports: ["udp"], inactivityMs: 4_000 });
    const left = new Promise<EventOf<"participant.left">>((resolve) => {
      service.engine.events$.subscribe((event) => {
        if (event.type === "tonetap.participant.left") resolve(event as EventOf<"participant.left">);
      });
    });
    const phone = await Phone.udp(udpOf(service));
    await phone.call();
    await phone[Symbol.asyncDispose]();
    expect((await left).data).toMatchObject({ participantId: "anna", reason: "inactive" });
    await eventually(() => service.sip?.held.rtpPorts === 0);
  });

  test("a file with 1 user asks callers for credentials", async () => {
    const usersFile = await file("users", "# who may call\nanna:s3cret\n\n");
    await using service = await open({ transports: ["udp"], usersFile, realm: "pbx" });
    await using phone = await Phone.udp(udpOf(service));
    const asked = await phone.ask("INVITE", { body: offer() });
    expect(asked.status).toBe(401);
    expect(asked.headers.find(({ name }) => name === "WWW-Authenticate")?.value).toContain('realm="pbx"');
  });

  test.skipIf(!hasOpenssl())(
    "a call over TLS with SRTP, which is required: 10 packets are heard; a key that is not the certificate's is named",
    async () => {
      const [identity, other] = [createCertificate(), createCertificate()];
      const tlsCertFile = await file("cert", identity.cert);
      const tlsKeyFile = await file("key", identity.key);
      const tls = { transports: ["tls"], tlsPort: 0, tlsCertFile, srtp: "required" as const };
      const wrong = open({ ...tls, tlsKeyFile: await file("other-key", other.key) });
      await expect(wrong).rejects.toThrow(/sip tls.cert and tls.key must be PEM, and belong together/);

      await using service = await open({ ...tls, tlsKeyFile });
      const address = service.sip?.addresses.get("tls") ?? expect.unreachable("no TLS");
      await using phone = await Phone.stream(address, "TLS");
      const crypto = createSdes(1, "AES_CM_128_HMAC_SHA1_80");
      const extra = ["a=rtcp-mux", `a=crypto:${formatSdes(crypto)}`];
      const { rtp } = await phone.call({ body: offer({ media: "RTP/SAVP 0", extra }) });
      const sender = new SrtpSender(crypto);
      const stream = new RtpStream({ codec: PCMU, payloadType: 0 });
      await using media = await Peer.open();
      for (let i = 0; i < 10; i++) {
        await media.send(sender.protectRtp(stream.packet({ payload: new Uint8Array(160) })), rtp);
      }
      const { source } = service.engine.participant(phone.callId, "anna");
      await eventually(() => (source as SipSource).stats.packets === 10);
    },
  );

  test("6 wrong settings are named before anything listens, and passwords are not repeated", async () => {
    const users = await file("broken-users", "anna s3cret\n");
    const empty = await file("no-users", "# nobody\n");
    const wrong: [NonNullable<ConfigInput["sip"]>, RegExp][] = [
      [{ transports: ["sctp"] }, /sip\.transports must be among udp, tcp, tls/],
      [{ transports: ["tls"] }, /sip\.tlsCertFile must be a file/],
      [
        { transports: ["udp"], usersFile: join(folder, "absent") },
        /sip\.usersFile must be a readable file, got ".*absent"/,
      ],
      [{ transports: ["udp"], usersFile: users }, /name:password in each line, unlike line 1$/],
      [{ transports: ["udp"], usersFile: empty }, /must name at least one caller/],
      [{ transports: ["udp"], allowedPeers: ["pbx"] }, /allowedPeers must be IP addresses or prefixes/],
    ];
    for (const [sip, words] of wrong) await expect(open(sip)).rejects.toThrow(words);
  });

  test("without a transport there is no SIP: 0 ports", async () => {
    await using service = await open({});
    expect(service.sip).toBeUndefined();
  });
});
