/** The microphone button and its dialog: consent first, then WHIP. The WHIP client itself is whip-client.js. */
import { publishMicrophone } from "./whip-client.js";

/** Wires the button. One publication at a time; pressing again ends it. */
export function setUpMicrophone() {
  const button = /** @type {HTMLButtonElement} */ (document.getElementById("speak"));
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("microphone"));
  const form = /** @type {HTMLFormElement} */ (dialog.querySelector("form"));
  const name = /** @type {HTMLInputElement} */ (document.getElementById("speaker-name"));
  const consent = /** @type {HTMLInputElement} */ (document.getElementById("speaker-consent"));
  const start = /** @type {HTMLButtonElement} */ (document.getElementById("microphone-start"));
  const error = /** @type {HTMLElement} */ (document.getElementById("microphone-error"));
  const idle = button.textContent;
  /** @type {{close(): Promise<void> | void, pc: RTCPeerConnection} | undefined} */
  let publication;

  const ended = () => {
    publication = undefined;
    button.textContent = idle;
    delete button.dataset.live;
  };

  button.addEventListener("click", async () => {
    if (publication !== undefined) {
      const { close } = publication;
      ended();
      await close();
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
    const query = new URLSearchParams({
      call: "microphone",
      participant: `mic-${crypto.randomUUID().slice(0, 8)}`,
      name: name.value.trim(),
      role: "guest",
      consent: "granted",
    });
    try {
      publication = await publishMicrophone({ endpoint: `whip?${query}` });
      publication.pc.addEventListener("connectionstatechange", () => {
        if (publication?.pc.connectionState === "failed") ended();
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
}

/** @param {unknown} problem */
function explain(problem) {
  if (!(problem instanceof Error)) return String(problem);
  switch (problem.name) {
    case "NotAllowedError":
      return "The browser did not allow the microphone. Allow it for this page and try again.";
    case "NotFoundError":
      return "No microphone was found.";
    default:
      return problem.message;
  }
}
