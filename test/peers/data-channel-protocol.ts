/** What a test and the process of its libdatachannel publisher say to each other. */

export type ToPublisher =
  | { readonly kind: "answer"; readonly sdp: string }
  /** RTP packets, one every 20 ms. */
  | { readonly kind: "speak"; readonly packets: readonly Uint8Array[] };

export type FromPublisher =
  /** All candidates gathered. */
  | { readonly kind: "offer"; readonly sdp: string }
  /** DTLS is done: what is sent now goes out. */
  | { readonly kind: "open" }
  | { readonly kind: "spoken" };
