/** Publishes a microphone over WHIP (RFC 9725). No dependencies; the page's buttons are microphone.js. */

/** ms that candidates are collected before they go out in one PATCH. */
const TRICKLE_DELAY_MS = 50;

/**
 * What to ask `getUserMedia` for: the voice as it is. Echo cancellation, noise suppression and gain control are made
 * for human listeners; they take away much of what a voice expresses.
 * @param {string} [deviceId] a microphone of `enumerateDevices()`; the default one if left out
 * @returns {MediaStreamConstraints}
 */
export function microphoneConstraints(deviceId) {
  return {
    audio: {
      echoCancellation: false,
      noiseSuppression: false,
      autoGainControl: false,
      channelCount: 1,
      ...(deviceId === undefined ? {} : { deviceId: { exact: deviceId } }),
    },
    video: false,
  };
}

/**
 * Publishes the first audio track of `stream`, or the microphone if there is none. It ends by `close()`, when the page
 * goes away, and when `pc.connectionState` becomes `failed`, which the caller watches.
 * @param {object} options
 * @param {string | URL} options.endpoint where to POST, with the query that says who is speaking
 * @param {MediaStream} [options.stream] stays the caller's; a microphone opened here is stopped by `close()`
 * @param {string} [options.token] bearer token
 * @returns {Promise<{pc: RTCPeerConnection, close: () => Promise<void>}>}
 */
export async function publishMicrophone({ endpoint, stream, token }) {
  const source = stream ?? (await navigator.mediaDevices.getUserMedia(microphoneConstraints()));
  const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  /** @type {URL | undefined} */
  let session;
  /** @type {Record<string, string>} */
  const authorization = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  let closed = false;

  const close = async () => {
    if (closed) return;
    closed = true;
    removeEventListener("pagehide", close);
    pc.close();
    if (stream === undefined) for (const track of source.getTracks()) track.stop();
    // keepalive: the request outlives the page.
    if (session !== undefined)
      await fetch(session, { method: "DELETE", headers: authorization, keepalive: true });
  };

  try {
    const [track] = source.getAudioTracks();
    if (track === undefined) throw new Error("The stream has no audio track.");
    pc.addTransceiver(track, { direction: "sendonly", streams: [source] });
    // The offer goes out before candidates are gathered: the answer may bring the TURN server to gather with (§4.6).
    const offer = await pc.createOffer();
    const response = await fetch(endpoint, {
      method: "POST",
      headers: { "Content-Type": "application/sdp", ...authorization },
      body: offer.sdp ?? "",
    });
    if (response.status !== 201) throw new Error(await refusal(response));
    session = new URL(response.headers.get("Location") ?? "", response.url);
    const answer = await response.text();
    pc.setConfiguration({
      ...pc.getConfiguration(),
      iceServers: iceServersOf(response.headers.get("Link") ?? ""),
    });
    trickle(pc, offer.sdp ?? "", session, {
      "If-Match": response.headers.get("ETag") ?? "*",
      ...authorization,
    });
    await pc.setLocalDescription(offer);
    await pc.setRemoteDescription({ type: "answer", sdp: answer });
  } catch (error) {
    await close();
    throw error;
  }
  addEventListener("pagehide", close);
  return { pc, close };
}

/**
 * Sends candidates as they are found, those of a moment together (§4.3.2). A lost one is no harm: the server also
 * takes the address that our checks come from.
 * @param {RTCPeerConnection} pc
 * @param {string} offer
 * @param {URL} session
 * @param {Record<string, string>} headers
 */
function trickle(pc, offer, session, headers) {
  const head = ["ice-ufrag", "ice-pwd"].map((name) =>
    new RegExp(`^a=${name}:.*$`, "m").exec(offer)?.[0].trim(),
  );
  /** @type {string[]} */
  let pending = [];
  const send = async () => {
    const fragment = [...head, "m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", ...pending, ""].join("\r\n");
    pending = [];
    const answer = await fetch(session, {
      method: "PATCH",
      headers: { "Content-Type": "application/trickle-ice-sdpfrag", ...headers },
      body: fragment,
    });
    if (!answer.ok) console.warn(`The server did not take our ICE candidates: ${await refusal(answer)}`);
  };
  pc.addEventListener("icecandidate", ({ candidate }) => {
    const line = candidate === null || candidate.candidate === "" ? "end-of-candidates" : candidate.candidate;
    if (pending.push(`a=${line}`) > 1) return;
    setTimeout(() => {
      if (pc.signalingState === "closed") return;
      send().catch((error) => console.warn("Our ICE candidates could not be sent:", error));
    }, TRICKLE_DELAY_MS);
  });
}

/**
 * `<turn:host>; rel="ice-server"; username="u"; credential="p"`, several by commas (§4.6).
 * @param {string} link
 * @returns {RTCIceServer[]}
 */
function iceServersOf(link) {
  const servers = [];
  for (const [, urls, parameters] of link.matchAll(/<([^>]*)>((?:\s*;\s*[\w-]+="(?:[^"\\]|\\.)*")*)/g)) {
    /** @type {Record<string, string>} */
    const values = {};
    for (const [, name, value] of (parameters ?? "").matchAll(/([\w-]+)="((?:[^"\\]|\\.)*)"/g)) {
      values[name ?? ""] = (value ?? "").replaceAll(/\\(.)/g, "$1");
    }
    if (values.rel !== "ice-server" || urls === undefined) continue;
    const { username, credential } = values;
    servers.push(username === undefined ? { urls } : { urls, username, credential: credential ?? "" });
  }
  return servers;
}

/**
 * The reason in a problem document (RFC 9457), or the status.
 * @param {Response} response
 */
async function refusal(response) {
  const text = await response.text();
  try {
    return JSON.parse(text).detail ?? text;
  } catch {
    return text === "" ? `HTTP status ${response.status}` : text;
  }
}
