/** The microphone button and its dialog: consent first, then WHIP. The WHIP client itself is whip-client.js. */
import { knownKey } from "./key.js";
import { publishMicrophone } from "./whip-client.js";

/**
 * Wires the button. One publication at a time; pressing again ends it.
 * @returns {{left: (participantId: string) => void}} to be told who has left: the microphone goes off with its participant
 */
export function setUpMicrophone() {
  const button = /** @type {HTMLButtonElement} */ (document.getElementById("speak"));
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("microphone"));
  const form = /** @type {HTMLFormElement} */ (dialog.querySelector("form"));
  const name = /** @type {HTMLInputElement} */ (document.getElementById("speaker-name"));
  const consent = /** @type {HTMLInputElement} */ (document.getElementById("speaker-consent"));
  const start = /** @type {HTMLButtonElement} */ (document.getElementById("microphone-start"));
  const error = /** @type {HTMLElement} */ (document.getElementById("microphone-error"));
  const idle = button.textContent;
  /** @type {{close(): Promise<void>, pc: RTCPeerConnection} | undefined} */
  let publication;
  let participant = "";

  /** The microphone goes off at once; the service is told if it still answers. */
  const stop = () => {
    const open = publication;
    publication = undefined;
    button.textContent = idle;
    delete button.dataset.live;
    open?.close().catch((problem) => console.warn("The service could not be told that we stop:", problem));
  };

  button.addEventListener("click", () => {
    if (publication !== undefined) {
      stop();
      return;
    }
    error.hidden = true;
    dialog.showModal();
  });
  /** @type {HTMLElement} */ (document.getElementById("microphone-cancel")).addEventListener("click", () =>
    dialog.close(),
  );

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!consent.checked) return;
    start.disabled = true;
    const random = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
    participant = `mic-${random.toString(16).padStart(8, "0")}`;
    const query = new URLSearchParams({
      call: "microphone",
      participant,
      name: name.value.trim(),
      role: "guest",
      consent: "granted",
    });
    try {
      publication = await publishMicrophone({ endpoint: `whip?${query}`, token: knownKey() });
      publication.pc.addEventListener("connectionstatechange", () => {
        if (publication?.pc.connectionState === "failed") stop();
      });
      button.textContent = "Stop the microphone";
      button.dataset.live = "true";
      dialog.close();
    } catch (problem) {
      error.textContent = explain(problem);
      error.hidden = false;
    } finally {
      start.disabled = false;
    }
  });

  return {
    left: (participantId) => {
      if (participantId === participant) stop();
    },
  };
}

/** @param {unknown} problem */
function explain(problem) {
  if (!(problem instanceof Error)) return String(problem);
  // Browsers offer no microphone to pages that came over plain HTTP from another machine.
  if (!isSecureContext) return "The browser needs HTTPS, or http://localhost, to give a page the microphone.";
  switch (problem.name) {
    case "NotAllowedError":
      return "The browser did not allow the microphone. Allow it for this page and try again.";
    case "NotFoundError":
      return "No microphone was found.";
    default:
      return problem.message;
  }
}
