/** The key that the page shows to the service, where it asks for one: kept for this tab only, never on disk. */

const NAME = "tonetap-key";

/** @returns {string | undefined} */
export function knownKey() {
  return sessionStorage.getItem(NAME) ?? undefined;
}

/**
 * Asks for a key until the service takes one; at once done where it asks for none. A service that does not answer is
 * not waited for: the connection goes on trying, and says so.
 */
export async function unlock() {
  let refused = false;
  while ((await statusNow()) === 401) {
    sessionStorage.removeItem(NAME);
    sessionStorage.setItem(NAME, await ask(refused));
    refused = true;
  }
}

async function statusNow() {
  const key = knownKey();
  /** @type {Record<string, string>} */
  const headers = key === undefined ? {} : { Authorization: `Bearer ${key}` };
  try {
    return (await fetch("v1/calls", { headers })).status;
  } catch {
    return 0;
  }
}

/** @param {boolean} refused whether one was given that is not good @returns {Promise<string>} */
function ask(refused) {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("key"));
  const form = /** @type {HTMLFormElement} */ (dialog.querySelector("form"));
  const input = /** @type {HTMLInputElement} */ (document.getElementById("key-input"));
  /** @type {HTMLElement} */ (document.getElementById("key-error")).hidden = !refused;
  input.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    // Without a key there is nothing behind the dialog to go back to.
    dialog.oncancel = (event) => event.preventDefault();
    form.onsubmit = (event) => {
      event.preventDefault();
      dialog.close();
      resolve(input.value.trim());
    };
  });
}
