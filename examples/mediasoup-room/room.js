/** The page: sends microphone and camera, plays the others. What is laid over their faces is tiles.js. */
import { Device } from "mediasoup-client";
import { connectSignal } from "./signal.js";
import { Tiles } from "./tiles.js";

/** What the voice needs and no more: Tonetap listens at 16 kHz, and silence costs nothing. */
const CODEC_OPTIONS = {
  opusStereo: false,
  opusMaxPlaybackRate: 16_000,
  opusFec: true,
  opusDtx: true,
  opusNack: true,
};

const byId = (id) => document.getElementById(id);
const tiles = new Tiles(byId("tiles"));

byId("join").addEventListener("submit", (submit) => {
  submit.preventDefault();
  const form = new FormData(submit.target);
  join(form.get("name").trim(), form.has("consent")).catch((error) => {
    byId("error").textContent = error.message;
  });
});

async function join(name, consent) {
  byId("error").textContent = "";
  const signal = await connectSignal();
  try {
    await enter(signal, name, consent);
  } catch (error) {
    signal.close();
    throw error;
  }
}

async function enter(signal, name, consent) {
  const { rtpCapabilities, others, tonetapUrl } = await signal.request("join", { name, consent });
  const device = await Device.factory();
  await device.load({ routerRtpCapabilities: rtpCapabilities });

  tiles.of(name, `${name} (you)`);
  tiles.follow(tonetapUrl, "room");
  const receiving = await openTransport(signal, device, "Recv");
  const receive = (announced) => play(signal, device, receiving, announced);
  signal.on("producer", receive);
  signal.on("left", (peer) => tiles.remove(peer.name));
  others.forEach(receive);

  const stream = await capture();
  const sending = await openTransport(signal, device, "Send");
  sending.on("produce", ({ kind, rtpParameters }, done, failed) => {
    signal.request("produce", { transportId: sending.id, kind, rtpParameters }).then(done, failed);
  });
  sending.on("connectionstatechange", (state) => {
    byId("status").textContent = state;
  });
  const [voice] = stream.getAudioTracks();
  const producer = await sending.produce({ track: voice, codecOptions: CODEC_OPTIONS });
  for (const track of stream.getVideoTracks()) {
    tiles.of(name).video(track, true);
    await sending.produce({ track });
  }

  byId("mute").addEventListener("click", async () => {
    if (producer.paused) producer.resume();
    else producer.pause();
    byId("mute").textContent = producer.paused ? "Unmute" : "Mute";
    await signal.request("mute", { muted: producer.paused });
  });
  byId("join").hidden = true;
  byId("controls").hidden = false;
}

/** A voice, and a face where there is a camera that we may use. */
async function capture() {
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 360 } });
  } catch {
    return navigator.mediaDevices.getUserMedia({ audio: true });
  }
}

async function openTransport(signal, device, direction) {
  const transport = device[`create${direction}Transport`](await signal.request("createTransport"));
  transport.on("connect", ({ dtlsParameters }, done, failed) => {
    signal.request("connectTransport", { transportId: transport.id, dtlsParameters }).then(done, failed);
  });
  return transport;
}

async function play(signal, device, transport, { producerId, name }) {
  const consumer = await transport.consume(
    await signal.request("consume", {
      transportId: transport.id,
      producerId,
      rtpCapabilities: device.recvRtpCapabilities,
    }),
  );
  const tile = tiles.of(name);
  const player = consumer.kind === "video" ? tile.video(consumer.track) : new Audio();
  if (consumer.kind === "audio") player.srcObject = new MediaStream([consumer.track]);
  signal.on("consumer-closed", ({ consumerId }) => {
    if (consumerId !== consumer.id) return;
    consumer.close();
    player.srcObject = null;
  });
  await signal.request("resume", { consumerId: consumer.id });
  await player.play();
}
