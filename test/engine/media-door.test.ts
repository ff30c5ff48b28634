import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { connect } from "../../src/client/index.ts";
import type { EventOf } from "../../src/events/index.ts";
import { Service } from "../../src/service.ts";
import { audioSocketFrame, FRAME } from "../../src/transport/audiosocket/audiosocket-framer.ts";
import { encodeSlin } from "../support/l16.ts";
import { bundledVoice, telephoneVoice } from "../support/pcmu.ts";
import { Peer, pieces, trackMedia, twilio } from "../transport/websocket-media/support.ts";
import { PATIENT_MODEL } from "./support.ts";

const anna = await telephoneVoice("anna", 0, 5_000);

const open = (config: Parameters<typeof Service.open>[0] = {}): Promise<Service> =>
  Service.open({ service: { port: 0 }, model: PATIENT_MODEL, ...config });

const at = (service: Service, path: string): string => new URL(path, service.url).href.replace(/^http/, "ws");

/** Resolves with a call's emotion event and its participant.left. */
function hear(service: Service, callId: string) {
  const connection = connect(service.url, { filter: { calls: [callId] } });
  const emotion = new Promise<EventOf<"emotion">>((resolve) => connection.on("emotion", resolve));
  const left = new Promise<EventOf<"participant.left">>((resolve) =>
    connection.on("participant.left", resolve),
  );
  return { emotion, left, close: () => connection.close() };
}

describe("media in messages, through the service", () => {
  test("5 s of Media Streams become events of the customer; the agent of the other track is refused by policy", async () => {
    await using service = await open();
    const heard = hear(service, "twilio-call");
    const peer = await Peer.open(at(service, "/v1/media/twilio"), {});

    peer.send(
      twilio.connected,
      twilio.start({ call: "twilio-call", role: "customer", consent: "granted", outboundRole: "agent" }, [
        "inbound",
        "outbound",
      ]),
      ...trackMedia("inbound", pieces(anna.pcmu, 160)),
      ...trackMedia("outbound", pieces(anna.pcmu, 160)),
    );
    const { data } = await heard.emotion;
    peer.send(twilio.stop);
    const left = await heard.left;
    heard.close();

    expect(data).toMatchObject({ callId: "twilio-call", participantId: "inbound", role: "customer" });
    expect(left.data).toMatchObject({ participantId: "inbound", reason: "left" });
    expect(left.data.windows.dropped).toBe(0);
    expect((await peer.closed).code).toBe(1000);
  });

  test("AudioSocket: a UUID announced with role and consent is that participant, once", async () => {
    await using service = await open({
      audioSocket: { listen: "tcp", port: 0, unannounced: "refuse" },
    });
    const heard = hear(service, "asterisk-call");
    const announcement = {
      callId: "asterisk-call",
      participantId: "caller",
      role: "customer",
      consent: "granted",
    };
    const response = await fetch(new URL("/v1/audiosocket", service.url), {
      method: "POST",
      body: JSON.stringify(announcement),
    });
    const { uuid, host, port } = (await response.json()) as { uuid: string; host: string; port: number };
    const hello = audioSocketFrame(FRAME.uuid, Buffer.from(uuid.replaceAll("-", ""), "hex"));
    const audio = pieces(encodeSlin(await bundledVoice("anna", 0, 5_000)), 640).map((piece) =>
      audioSocketFrame(0x12, piece),
    );

    const call = connectTcp(port, host).resume();
    call.write(Buffer.concat([hello, ...audio]));
    const { data } = await heard.emotion;
    call.write(audioSocketFrame(FRAME.hangup));
    const left = await heard.left;
    heard.close();
    const again = connectTcp(port, host);
    again.write(hello);
    const [answer] = await once(again, "data");
    again.destroy();

    expect(response.status).toBe(201);
    expect(data).toMatchObject({ callId: "asterisk-call", participantId: "caller", role: "customer" });
    expect(left.data.reason).toBe("left");
    expect(answer).toEqual(audioSocketFrame(FRAME.hangup));
    expect(service.audioSocket?.stats).toMatchObject({ accepted: 2, refused: 1 });
  });

  test("a detached participant ends its stream with 1000, the service that closes says 1001", async () => {
    const service = await open();
    const first = await Peer.open(at(service, "/v1/media/twilio?call=one"), {});
    const second = await Peer.open(at(service, "/v1/media/jitsi?call=two"), {});
    const heard = hear(service, "one");
    first.send(twilio.start());
    const path = "/v1/calls/one/participants/inbound";
    let status = 0;
    while (status !== 204) {
      ({ status } = await fetch(new URL(path, service.url), { method: "DELETE" }));
    }
    await heard.left;
    heard.close();

    await service.close();

    expect((await first.closed).code).toBe(1000);
    expect((await second.closed).code).toBe(1001);
  });

  test("media.tokens lets 1 token in, media.audiohookKeys asks for a signature, unknown paths get 404", async () => {
    await using service = await open({
      media: { tokens: ["a-token-of-16-or-more"], audiohookKeys: ["key:c2VjcmV0LXNlY3JldC1zZWNyZXQ="] },
    });

    await expect(Peer.open(at(service, "/v1/media/jitsi"), {})).rejects.toThrow("401");
    await expect(Peer.open(at(service, "/v1/media/audiohook"), {})).rejects.toThrow("401");
    await expect(Peer.open(at(service, "/v1/media/other"), {})).rejects.toThrow("404");
    await expect(
      Peer.open(at(service, "/v1/media/jitsi?token=a-token-of-16-or-more"), {
        origin: "https://evil.example",
      }),
    ).rejects.toThrow("403");
    const good = await Peer.open(at(service, "/v1/media/jitsi?token=a-token-of-16-or-more"), {});

    expect(good.socket.readyState).toBe(WebSocket.OPEN);
  });

  test.each([
    [{ media: { audiohookKeys: ["nokey"] } }, "media.audiohookKeys must be key:secret"],
    [{ media: { tokens: ["short"] } }, "must be at least 16"],
    [{ audioSocket: { port: 70_000 } }, "audioSocket.port must be 0–65535, got 70000"],
  ])("a configuration of %j is refused in words", async (config, words) => {
    await expect(open(config)).rejects.toThrow(words);
  });
});
