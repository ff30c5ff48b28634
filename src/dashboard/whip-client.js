/** Publishes a microphone over WHIP (RFC 9725). No dependencies; the page's buttons are microphone.js. */

/** ms that candidates are collected before they go out in one PATCH. */
const TRICKLE_DELAY_MS = 50;

/** What the service's answer calls the place where the publisher takes consent back, and gives it again. */
const CONSENT_RELATION = "urn:tonetap:whip:ext:consent";

/** ms between attempts to find another way to a server that does not answer any more. */
const RESTART_EVERY_MS = 1_000;

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
 * goes away, and when `pc.connectionState` becomes `failed`, which the caller watches. When the network changes, it
 * looks for another way by itself; `restart()` does so at once. `setConsent()` takes the speaker's consent back and gives
 * it again.
 * @param {object} options
 * @param {string | URL} options.endpoint where to POST, with the query that says who is speaking
 * @param {MediaStream} [options.stream] stays the caller's; a microphone opened here is stopped by `close()`
 * @param {string | undefined} [options.token] bearer token
 * @returns {Promise<{pc: RTCPeerConnection, close: () => Promise<void>, restart: () => Promise<void>,
 *   setConsent: (consent: "granted" | "withdrawn") => Promise<void>}>}
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
    const links = linksOf(response.headers.get("Link") ?? "");
    pc.setConfiguration({ ...pc.getConfiguration(), iceServers: iceServersOf(links) });
    const ice = trickle(pc, session, authorization);
    ice.begin(offer.sdp ?? "");
    await pc.setLocalDescription(offer);
    await pc.setRemoteDescription({ type: "answer", sdp: answer });
    ice.answered(response);
    /** @type {Promise<void> | undefined} */
    let restarting;
    const restart = () => {
      restarting ??= restartIce(pc, ice).finally(() => {
        restarting = undefined;
      });
      return restarting;
    };
    const place = links.find(({ values }) => values.rel === CONSENT_RELATION)?.target;
    const { url } = response;
    const setConsent = async (/** @type {"granted" | "withdrawn"} */ consent) => {
      if (place === undefined) throw new Error("This server does not take consent.");
      const headers = { "Content-Type": "application/json", ...authorization };
      const told = await fetch(new URL(place, url), {
        method: "PUT",
        headers,
        body: JSON.stringify({ consent }),
      });
      if (!told.ok) throw new Error(await refusal(told));
    };
    pc.addEventListener("connectionstatechange", () => keepConnected(pc, restart));
    addEventListener("pagehide", close);
    return { pc, close, restart, setConsent };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * Another ICE session for the same publication (§4.3.3): new addresses, the same DTLS.
 * @param {RTCPeerConnection} pc
 * @param {ReturnType<typeof trickle>} ice
 */
async function restartIce(pc, ice) {
  const before = pc.currentRemoteDescription?.sdp ?? "";
  const offer = await pc.createOffer({ iceRestart: true });
  ice.begin(offer.sdp ?? "");
  await pc.setLocalDescription(offer);
  try {
    const response = await ice.patch("*", []);
    if (response.status !== 200) throw new Error(await refusal(response));
    await pc.setRemoteDescription({ type: "answer", sdp: withIce(before, await response.text()) });
    ice.answered(response);
  } catch (error) {
    if (pc.signalingState === "have-local-offer") await pc.setLocalDescription({ type: "rollback" });
    throw error;
  }
}

/**
 * Restarts ICE until it works or the browser gives up, which is when the state becomes `failed`.
 * @param {RTCPeerConnection} pc
 * @param {() => Promise<void>} restart
 */
async function keepConnected(pc, restart) {
  while (pc.connectionState === "disconnected") {
    try {
      await restart();
      return;
    } catch (error) {
      console.warn("Another way to the server is still being looked for:", error);
    }
    await new Promise((resolve) => setTimeout(resolve, RESTART_EVERY_MS));
  }
}

/**
 * An answer with the ICE credentials and candidates of a fragment instead of its own.
 * @param {string} answer
 * @param {string} fragment
 */
function withIce(answer, fragment) {
  const lines = fragment.split("\r\n");
  /** @param {string} name */
  const all = (name) => lines.filter((line) => line.startsWith(`a=${name}`));
  let placed = false;
  return answer
    .split("\r\n")
    .flatMap((line) => {
      if (/^a=(candidate:|end-of-candidates)/.test(line)) return [];
      if (line.startsWith("a=ice-ufrag:")) return all("ice-ufrag:");
      if (!line.startsWith("a=ice-pwd:")) return [line];
      const candidates = placed ? [] : [...all("candidate:"), ...all("end-of-candidates")];
      placed = true;
      return [...all("ice-pwd:"), ...candidates];
    })
    .join("\r\n");
}

/**
 * Sends candidates as they are found, those of a moment together, once the server has answered their ICE session
 * (§4.3.2). A lost one is no harm: the server also takes the address that our checks come from.
 * @param {RTCPeerConnection} pc
 * @param {URL} session
 * @param {Record<string, string>} authorization
 */
function trickle(pc, session, authorization) {
  /** @type {string[]} */
  let head = [];
  /** @type {string[]} */
  let pending = [];
  /** @type {string | undefined} */
  let etag;
  let scheduled = false;

  /**
   * @param {string} match
   * @param {readonly string[]} candidates
   */
  const patch = (match, candidates) =>
    fetch(session, {
      method: "PATCH",
      headers: {
        "Content-Type": "application/trickle-ice-sdpfrag",
        "If-Match": match,
        ...authorization,
      },
      body: [...head, "m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", ...candidates, ""].join("\r\n"),
    });
  const send = async () => {
    scheduled = false;
    if (etag === undefined || pending.length === 0 || pc.signalingState === "closed") return;
    const candidates = pending;
    pending = [];
    const answer = await patch(etag, candidates);
    if (!answer.ok) console.warn(`The server did not take our ICE candidates: ${await refusal(answer)}`);
  };
  const sendSoon = () => {
    if (scheduled) return;
    scheduled = true;
    setTimeout(() => {
      send().catch((error) => console.warn("Our ICE candidates could not be sent:", error));
    }, TRICKLE_DELAY_MS);
  };
  pc.addEventListener("icecandidate", ({ candidate }) => {
    const line = candidate === null || candidate.candidate === "" ? "end-of-candidates" : candidate.candidate;
    pending.push(`a=${line}`);
    sendSoon();
  });
  return {
    patch,
    /**
     * The candidates that come from now on are those of this offer.
     * @param {string} offer
     */
    begin: (offer) => {
      head = ["ice-ufrag", "ice-pwd"].map(
        (name) => new RegExp(`^a=${name}:.*$`, "m").exec(offer)?.[0].trim() ?? "",
      );
      pending = [];
      etag = undefined;
    },
    /**
     * The server has answered it: they can go out.
     * @param {Response} response
     */
    answered: (response) => {
      etag = response.headers.get("ETag") ?? "*";
      sendSoon();
    },
  };
}

/**
 * A Link header field (RFC 8288): `<target>; rel="…"; name="value"`, several by commas.
 * @param {string} field
 */
function linksOf(field) {
  const links = [];
  for (const [, target = "", parameters] of field.matchAll(
    /<([^>]*)>((?:\s*;\s*[\w-]+="(?:[^"\\]|\\.)*")*)/g,
  )) {
    /** @type {Record<string, string>} */
    const values = {};
    for (const [, name, value] of (parameters ?? "").matchAll(/([\w-]+)="((?:[^"\\]|\\.)*)"/g)) {
      values[name ?? ""] = (value ?? "").replaceAll(/\\(.)/g, "$1");
    }
    links.push({ target, values });
  }
  return links;
}

/**
 * `<turn:host>; rel="ice-server"; username="u"; credential="p"` (§4.6).
 * @param {ReturnType<typeof linksOf>} links
 * @returns {RTCIceServer[]}
 */
function iceServersOf(links) {
  return links
    .filter(({ values }) => values.rel === "ice-server")
    .map(({ target: urls, values: { username, credential = "" } }) =>
      username === undefined ? { urls } : { urls, username, credential },
    );
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
