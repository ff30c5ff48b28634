/** The page: sends the microphone, plays the others, shows what Tonetap hears. */
import { Device } from "mediasoup-client";
import { connectSignal } from "./signal.js";

/** What the voice needs and no more: Tonetap listens at 16 kHz, and silence costs nothing. */
const CODEC_OPTIONS = {
  opusStereo: false,
  opusMaxPlaybackRate: 16_000,
  opusFec: true,
  opusDtx: true,
  opusNack: true,
};

const element = (id) => document.getElementById(id);

element("join").addEventListener("submit", (submit) => {
  submit.preventDefault();
  const form = new FormData(submit.target);
  join(form.get("name"), form.has("consent")).catch((error) => {
    element("error").textContent = error.message;
  });
});

async function join(name, consent) {
  element("error").textContent = "";
  const signal = await connectSignal();
  try {
    await enter(signal, name, consent);
  } catch (error) {
    signal.close();
    throw error;
  }
}

async function enter(signal, name, consent) {
  const { rtpCapabilities, others } = await signal.request("join", { name, consent });
  const device = await Device.factory();
  await device.load({ routerRtpCapabilities: rtpCapabilities });

  const receiving = await openTransport(signal, device, "Recv");
  const listen = ({ producerId }) => play(signal, device, receiving, producerId);
  signal.on("producer", listen);
  signal.on("tonetap", show);
  others.forEach(listen);

  const [track] = (await navigator.mediaDevices.getUserMedia({ audio: true })).getAudioTracks();
  const sending = await openTransport(signal, device, "Send");
  sending.on("produce", ({ rtpParameters }, done, failed) => {
    signal.request("produce", { transportId: sending.id, rtpParameters }).then(done, failed);
  });
  sending.on("connectionstatechange", (state) => {
    element("status").textContent = state;
  });
  const producer = await sending.produce({ track, codecOptions: CODEC_OPTIONS });

  element("mute").addEventListener("click", async () => {
    if (producer.paused) producer.resume();
    else producer.pause();
    element("mute").textContent = producer.paused ? "Unmute" : "Mute";
    await signal.request("mute", { muted: producer.paused });
  });
  element("join").hidden = true;
  element("controls").hidden = false;
}

async function openTransport(signal, device, direction) {
  const transport = device[`create${direction}Transport`](await signal.request("createTransport"));
  transport.on("connect", ({ dtlsParameters }, done, failed) => {
    signal.request("connectTransport", { transportId: transport.id, dtlsParameters }).then(done, failed);
  });
  return transport;
}

async function play(signal, device, transport, producerId) {
  const consumer = await transport.consume(
    await signal.request("consume", {
      transportId: transport.id,
      producerId,
      rtpCapabilities: device.recvRtpCapabilities,
    }),
  );
  const audio = new Audio();
  audio.srcObject = new MediaStream([consumer.track]);
  signal.on("consumer-closed", ({ consumerId }) => {
    if (consumerId !== consumer.id) return;
    consumer.close();
    audio.srcObject = null;
  });
  await audio.play();
  await signal.request("resume", { consumerId: consumer.id });
}

/** One Tonetap event; docs/events.md tells them all. */
function show({ type, data }) {
  if (data.participantId === undefined) return;
  if (type === "tonetap.participant.left") {
    cards.get(data.participantId)?.remove();
    cards.delete(data.participantId);
    return;
  }
  const card = cardOf(data.participantId);
  const top = card.querySelector(".top");
  if (type === "tonetap.participant.joined") top.textContent = data.paused ? "not analysed" : "";
  if (type === "tonetap.speech.started") card.dataset.speaking = "";
  if (type === "tonetap.speech.ended") delete card.dataset.speaking;
  if (type !== "tonetap.emotion") return;
  top.textContent = data.abstained ? "…" : `${data.top} ${Math.round(data.confidence * 100)} %`;
  for (const [label, score] of Object.entries(data.scores)) meterOf(card, label).value = score;
}

const cards = new Map();

function cardOf(name) {
  const known = cards.get(name);
  if (known !== undefined) return known;
  const card = document.createElement("li");
  card.className = "person";
  const title = document.createElement("h2");
  title.textContent = name;
  const top = document.createElement("p");
  top.className = "top";
  card.append(title, top);
  element("people").append(card);
  cards.set(name, card);
  return card;
}

function meterOf(card, label) {
  const known = card.querySelector(`meter[data-label="${CSS.escape(label)}"]`);
  if (known !== null) return known;
  const row = document.createElement("div");
  const meter = document.createElement("meter");
  meter.dataset.label = label;
  meter.ariaLabel = label;
  row.append(label, meter);
  card.append(row);
  return meter;
}
