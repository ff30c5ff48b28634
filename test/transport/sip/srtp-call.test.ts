/** SRTP with keys in SDP (RFC 4568): what is agreed, what passes, what does not. */
import { describe, expect, test } from "vitest";
import { PCMU } from "../../../src/core/rtp.ts";
import { RtpStream } from "../../../src/transport/index.ts";
import { headerOf, type SipResponse } from "../../../src/transport/sip/sip-message.ts";
import {
  createSdes,
  formatSdes,
  parseSdes,
  type SdesCrypto,
  SrtpSender,
} from "../../../src/transport/srtp/index.ts";
import { eventually, Peer } from "../loopback.ts";
import { listen, one } from "./bench.ts";
import { offer } from "./messages.ts";
import { mediaOf, Phone, sdpText, type Target, tagOf } from "./phone.ts";

const line = (crypto: SdesCrypto): string => `a=crypto:${formatSdes(crypto)}`;

const secured = (lines: readonly string[], media = "RTP/SAVP 0"): string =>
  offer({ media, extra: ["a=rtcp-mux", ...lines] });

const cryptoOf = (response: SipResponse): SdesCrypto[] =>
  [...sdpText(response).matchAll(/^a=crypto:(.*)\r$/gm)].map(([, value = ""]) => parseSdes(value));

/** Sends PCMU of one stream, protected or as it is. */
class Media implements AsyncDisposable {
  readonly #stream = new RtpStream({ codec: PCMU, payloadType: 0 });
  readonly #peer: Peer;
  readonly #to: Target;

  private constructor(peer: Peer, to: Target) {
    this.#peer = peer;
    this.#to = to;
  }

  static open = async (to: Target): Promise<Media> => new Media(await Peer.open(), to);

  async send(count: number, sender?: SrtpSender): Promise<Uint8Array[]> {
    const sent: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const packet = this.#stream.packet({ payload: new Uint8Array(160) });
      const bytes = sender?.protectRtp(packet) ?? packet;
      // Kept apart: the receiver decrypts in place.
      sent.push(Uint8Array.from(bytes));
      await this.#peer.send(bytes, this.#to);
    }
    return sent;
  }

  again = (bytes: Uint8Array): Promise<void> => this.#peer.send(bytes, this.#to);

  [Symbol.asyncDispose](): Promise<void> {
    return this.#peer[Symbol.asyncDispose]();
  }
}

describe("a secured call", () => {
  test.each([
    "AES_CM_128_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32",
    "AEAD_AES_128_GCM",
    "AEAD_AES_256_GCM",
  ] as const)(
    "%s: 10 packets arrive; 1 replayed, 2 in the clear and 3 of another key are refused, by reason",
    async (suite) => {
      const bench = await listen();
      await using phone = await Phone.udp(bench.udp);
      const theirs = createSdes(7, suite);
      const ok = await phone.ask("INVITE", { body: secured([line(theirs)]) });
      expect(sdpText(ok)).toMatch(/^m=audio [0-9]+ RTP\/SAVP 0\r$/m);
      const ours = cryptoOf(ok);
      expect(ours).toMatchObject([{ tag: 7, suite }]);
      expect(ours[0]?.key).not.toEqual(theirs.key);
      await using media = await Media.open(mediaOf(ok));
      const [first] = await media.send(10, new SrtpSender(theirs));
      const taken = one(bench);
      await eventually(() => taken.packets.length === 10);
      expect(taken.packets[0]?.payload).toHaveLength(160);

      await media.again(first ?? expect.unreachable());
      await media.send(2);
      await media.send(3, new SrtpSender(createSdes(7, suite)));

      await eventually(
        () => Object.values(taken.source.refused).reduce((sum, count) => sum + count, 0) === 6,
      );
      expect(taken.source.refused).toEqual({ "srtp-replayed": 1, "srtp-not-authentic": 5 });
      expect(taken.packets).toHaveLength(10);
    },
  );

  test("of 4 lines the first that can be used is chosen, by its tag", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    const lines = [
      "a=crypto:1 F8_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm|2^20|1:4",
      "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:short",
      `${line(createSdes(3, "AES_CM_128_HMAC_SHA1_80"))} UNENCRYPTED_SRTP`,
      line(createSdes(4, "AES_CM_128_HMAC_SHA1_32")),
    ];
    const ok = await phone.ask("INVITE", { body: secured(lines) });
    expect(cryptoOf(ok)).toMatchObject([{ tag: 4, suite: "AES_CM_128_HMAC_SHA1_32" }]);
  });

  test("a line that cannot be used is 488, and its key of 5 characters is not repeated", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    const body = secured(["a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:s3cre"]);
    const refused = await phone.ask("INVITE", { body });
    expect([refused.status, headerOf(refused, "Warning")]).toEqual([
      488,
      expect.stringContaining("must be 30 bytes"),
    ]);
    expect(headerOf(refused, "Warning")).not.toContain("s3cre");
    expect(bench.server.held).toMatchObject({ calls: 0, rtpPorts: 0 });
  });

  test("a re-INVITE with the same key still knows its 5 packets; with a new key it takes 5 of that; in the clear it is 488", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    const [old, fresh] = [createSdes(1, "AEAD_AES_128_GCM"), createSdes(1, "AEAD_AES_128_GCM")];
    const ok = await phone.ask("INVITE", { body: secured([line(old)]) });
    const toTag = tagOf(ok);
    await phone.send(phone.compose("ACK", { toTag }));
    await using media = await Media.open(mediaOf(ok));
    const before = await media.send(5, new SrtpSender(old));
    const taken = one(bench);
    await eventually(() => taken.packets.length === 5);
    const again = async (cseq: number, body: string): Promise<SipResponse> => {
      const response = await phone.ask("INVITE", { cseq, toTag, body });
      await phone.send(phone.compose("ACK", { cseq, toTag }));
      await phone.settled();
      return response;
    };

    expect(sdpText(await again(2, secured([line(old)])))).toBe(sdpText(ok));
    for (const bytes of before) await media.again(bytes);
    await eventually(() => taken.source.refused["srtp-replayed"] === 5);
    expect((await again(3, secured([line(fresh)]))).status).toBe(200);
    await media.send(5, new SrtpSender(fresh));
    await eventually(() => taken.packets.length === 10);
    expect((await again(4, secured([], "RTP/AVP 0"))).status).toBe(488);
    expect(bench.server.callCount).toBe(1);
  });
});

describe("secured if both can (RFC 8643)", () => {
  test("RTP/AVP with a key is answered with RTP/AVP and a key: 3 packets of it arrive", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    const theirs = createSdes(1, "AES_CM_128_HMAC_SHA1_80");
    const ok = await phone.ask("INVITE", { body: secured([line(theirs)], "RTP/AVP 0") });
    expect(sdpText(ok)).toContain("RTP/AVP 0");
    expect(cryptoOf(ok)).toHaveLength(1);
    await using media = await Media.open(mediaOf(ok));
    await media.send(3, new SrtpSender(theirs));
    await eventually(() => one(bench).packets.length === 3);
  });

  test("with a key that nobody can use it is RTP in the clear, 3 packets", async () => {
    const bench = await listen();
    await using phone = await Phone.udp(bench.udp);
    const ok = await phone.ask("INVITE", { body: secured(["a=crypto:1 NONE inline:x"], "RTP/AVP 0") });
    expect(cryptoOf(ok)).toHaveLength(0);
    await using media = await Media.open(mediaOf(ok));
    await media.send(3);
    await eventually(() => one(bench).packets.length === 3);
  });
});

describe("where SRTP is required", () => {
  test("RTP in the clear is 488; of a secured section and one in the clear, the secured one of 2 is taken", async () => {
    const bench = await listen({ srtp: "required" });
    await using phone = await Phone.udp(bench.udp);
    const refused = await phone.ask("INVITE", { body: offer() });
    expect([refused.status, headerOf(refused, "Warning")]).toEqual([
      488,
      expect.stringContaining("SRTP is needed"),
    ]);
    const key = line(createSdes(1, "AES_CM_128_HMAC_SHA1_80"));
    const both = `${offer()}m=audio 41000 RTP/SAVP 0\r\n${key}\r\n`;
    const ok = await phone.ask("INVITE", { cseq: 2, body: both });
    expect(sdpText(ok)).toMatch(/m=audio 0 RTP\/AVP [\s\S]*m=audio [1-9][0-9]* RTP\/SAVP 0/);
  });

  test("our own offer has 2 keys; the answer's choice opens 4 packets, a choice of none of them ends the call", async () => {
    const bench = await listen({ srtp: "required" });
    await using phone = await Phone.udp(bench.udp);
    const ok = await phone.ask("INVITE");
    expect(cryptoOf(ok).map(({ tag, suite }) => [tag, suite])).toEqual([
      [1, "AES_CM_128_HMAC_SHA1_80"],
      [2, "AEAD_AES_128_GCM"],
    ]);
    const theirs = createSdes(2, "AEAD_AES_128_GCM");
    await phone.send(phone.compose("ACK", { toTag: tagOf(ok), body: secured([line(theirs)]) }));
    await phone.settled();
    await using media = await Media.open(mediaOf(ok));
    await media.send(4, new SrtpSender(theirs));
    await eventually(() => one(bench).packets.length === 4);

    phone.callId = "another";
    const second = await phone.ask("INVITE");
    const stranger = createSdes(3, "AEAD_AES_128_GCM");
    await phone.send(phone.compose("ACK", { toTag: tagOf(second), body: secured([line(stranger)]) }));
    await phone.request("BYE");
  });
});
