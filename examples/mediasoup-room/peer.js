/** One page in the room: its requests, its transports, and what it is told of the others. */

export class Peer {
  name;
  #consent = "pending";
  #socket;
  #router;
  #peers;
  #announcedAddress;
  #tonetapUrl;
  #transports = new Map();
  #consumers = new Map();
  /** By kind: a voice, and a face if there is a camera. */
  #producers = new Map();

  constructor(socket, { router, peers, announcedAddress, tonetapUrl }) {
    this.#socket = socket;
    this.#router = router;
    this.#peers = peers;
    this.#announcedAddress = announcedAddress;
    this.#tonetapUrl = tonetapUrl;
    socket.on("message", (text) => this.#answer(text));
  }

  tell(event, data) {
    this.#socket.send(JSON.stringify({ event, data }));
  }

  /** Closing its transports closes its producers: Tonetap sees that by itself. */
  close() {
    this.#peers.delete(this);
    for (const transport of this.#transports.values()) transport.close();
    for (const peer of this.#peers) peer.tell("left", { name: this.name });
  }

  async #answer(text) {
    let id;
    try {
      const request = JSON.parse(text);
      id = request.id;
      const method = Object.hasOwn(this.#methods, request.method) ? this.#methods[request.method] : undefined;
      if (method === undefined) throw new TypeError(`no method ${request.method}`);
      this.#socket.send(JSON.stringify({ id, data: (await method(request.data)) ?? null }));
    } catch (error) {
      this.#socket.send(JSON.stringify({ id, error: error.message }));
    }
  }

  #methods = {
    join: ({ name, consent }) => {
      const text = String(name).trim();
      if (!/^\P{C}{1,40}$/u.test(text)) throw new TypeError("a name has 1 to 40 printable characters");
      if ([...this.#peers].some((peer) => peer.name === text)) throw new TypeError(`${text} is here already`);
      this.name = text;
      this.#consent = consent === true ? "granted" : "pending";
      return {
        rtpCapabilities: this.#router.rtpCapabilities,
        tonetapUrl: this.#tonetapUrl,
        others: [...this.#peers].flatMap((peer) => (peer === this ? [] : peer.#announcements)),
      };
    },
    createTransport: async () => {
      const transport = await this.#router.createWebRtcTransport({
        listenInfos: [{ protocol: "udp", ip: "0.0.0.0", announcedAddress: this.#announcedAddress }],
      });
      this.#transports.set(transport.id, transport);
      const { id, iceParameters, iceCandidates, dtlsParameters } = transport;
      return { id, iceParameters, iceCandidates, dtlsParameters };
    },
    connectTransport: ({ transportId, dtlsParameters }) =>
      this.#transport(transportId).connect({ dtlsParameters }),
    produce: async ({ transportId, kind, rtpParameters }) => {
      const { name } = this;
      if (name === undefined) throw new TypeError("join first");
      if (this.#producers.has(kind)) throw new TypeError(`you send ${kind} already`);
      const producer = await this.#transport(transportId).produce({
        kind,
        rtpParameters,
        // What attachRouter's participantOf reads.
        appData: { name, consent: this.#consent },
      });
      this.#producers.set(kind, producer);
      for (const peer of this.#peers) {
        if (peer !== this) peer.tell("producer", { producerId: producer.id, kind, name });
      }
      return { id: producer.id };
    },
    mute: ({ muted }) => {
      const voice = this.#producers.get("audio");
      return muted ? voice?.pause() : voice?.resume();
    },
    consume: async ({ transportId, producerId, rtpCapabilities }) => {
      const consumer = await this.#transport(transportId).consume({
        producerId,
        rtpCapabilities,
        paused: true,
      });
      this.#consumers.set(consumer.id, consumer);
      consumer.observer.once("close", () => {
        this.#consumers.delete(consumer.id);
        if (this.#peers.has(this)) this.tell("consumer-closed", { consumerId: consumer.id });
      });
      const { id, kind, rtpParameters } = consumer;
      return { id, producerId, kind, rtpParameters };
    },
    resume: ({ consumerId }) => this.#consumers.get(consumerId)?.resume(),
  };

  get #announcements() {
    return [...this.#producers].map(([kind, { id }]) => ({ producerId: id, kind, name: this.name }));
  }

  #transport(id) {
    const transport = this.#transports.get(id);
    if (transport === undefined) throw new TypeError(`no transport ${id}`);
    return transport;
  }
}
