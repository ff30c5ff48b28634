/** The microphone's buttons and dialog: consent first, then WHIP, and consent taken back. The WHIP client is whip-client.js. */
import { knownKey } from "./key.js";
import { publishMicrophone } from "./whip-client.js";

/** @typedef {Awaited<ReturnType<typeof publishMicrophone>>} Publication */

/** What the speaker is told, by the consent that is in force. */
const STATUS = {
  granted: "Your microphone is live, and you agree that what your voice expresses is analysed.",
  withdrawn: "Your consent is withdrawn: the microphone is muted, and nothing of your voice is analysed.",
};

/**
 * Wires the buttons. One publication at a time; pressing again ends it.
 * @returns {{left: (participantId: string) => void, consented: (participantId: string, consent: string) => void}} to be told
 * who has left, with whom the microphone goes off, and whose consent has changed, by whomever
 */
export function setUpMicrophone() {
  const button = /** @type {HTMLButtonElement} */ (document.getElementById("speak"));
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("microphone"));
  const form = /** @type {HTMLFormElement} */ (dialog.querySelector("form"));
  const name = /** @type {HTMLInputElement} */ (document.getElementById("speaker-name"));
  const consent = /** @type {HTMLInputElement} */ (document.getElementById("speaker-consent"));
  const start = /** @type {HTMLButtonElement} */ (document.getElementById("microphone-start"));
  const error = /** @type {HTMLElement} */ (document.getElementById("microphone-error"));
  const change = /** @type {HTMLButtonElement} */ (document.getElementById("speak-consent"));
  const status = /** @type {HTMLElement} */ (document.getElementById("speak-status"));
  const idle = button.textContent;
  /** @type {Publication | undefined} */
  let publication;
  /** @type {keyof typeof STATUS} */
  let agreed = "granted";
  let changing = false;
  let participant = "";

  /** Who has withdrawn is not heard either: nothing but silence leaves the page. */
  const show = (/** @type {keyof typeof STATUS} */ consent) => {
    agreed = consent;
    for (const { track } of publication?.pc.getSenders() ?? []) {
      if (track !== null) track.enabled = consent === "granted";
    }
    change.textContent = consent === "granted" ? "Withdraw my consent" : "Agree again";
    status.textContent = STATUS[consent];
  };

  /** The microphone goes off at once; the service is told if it still answers. */
  const stop = () => {
    const open = publication;
    publication = undefined;
    button.textContent = idle;
    delete button.dataset.live;
    // The keyboard is not left on a button that is gone.
    if (document.activeElement === change) button.focus();
    change.hidden = true;
    status.textContent = "";
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

  change.addEventListener("click", async () => {
    const open = publication;
    if (open === undefined || changing) return;
    const wanted = agreed === "granted" ? "withdrawn" : "granted";
    // Muted before anybody is asked.
    if (wanted === "withdrawn") show(wanted);
    changing = true;
    try {
      await open.setConsent(wanted);
      if (open === publication) show(wanted);
    } catch (problem) {
      if (open !== publication) return;
      // Who cannot take consent back can go.
      if (wanted === "withdrawn") stop();
      const what =
        wanted === "withdrawn" ? "could not be told, so the microphone was stopped" : "did not take it";
      status.textContent = `The service ${what}: ${explain(problem)}`;
    } finally {
      changing = false;
    }
  });

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
      change.hidden = false;
      show("granted");
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
    consented: (participantId, consent) => {
      if (participantId === participant && publication !== undefined)
        show(consent === "granted" ? "granted" : "withdrawn");
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
