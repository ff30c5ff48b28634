/** Requests and news between page and server, over one WebSocket. */

export async function connectSignal() {
  const socket = new WebSocket(location.origin.replace("http", "ws"));
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error("the server does not answer"));
  });
  const waiting = new Map();
  const listeners = [];
  let nextId = 0;
  socket.onmessage = ({ data: text }) => {
    const { id, event, data, error } = JSON.parse(text);
    if (event !== undefined) {
      for (const [name, listener] of [...listeners]) if (name === event) listener(data);
      return;
    }
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) resolve(data);
    else reject(new Error(error));
  };
  return {
    close: () => socket.close(),
    on: (event, listener) => listeners.push([event, listener]),
    request: (method, data = {}) =>
      new Promise((resolve, reject) => {
        const id = nextId++;
        waiting.set(id, { resolve, reject });
        socket.send(JSON.stringify({ id, method, data }));
      }),
  };
}
