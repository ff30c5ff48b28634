/** `tonetap/werift`: WebRTC peers as audio sources, by WHIP or from a werift connection that a program already has. */
export { attachPeer, type PeerSourceOptions, sourceFromTrack } from "./attach-peer.ts";
export { acceptTokens } from "./bearer-tokens.ts";
export { type IceServer, iceServers, type TurnAccess } from "./ice-servers.ts";
export { WHIP_MAX_BODY_BYTES, type WhipRequest, type WhipResponse } from "./whip-message.ts";
export type {
  IceGathering,
  IcePatch,
  IcePatched,
  OpenWhipPeer,
  WhipAnswer,
  WhipPeer,
  WhipPeerOptions,
} from "./whip-peer.ts";
export {
  createWhipEndpoint,
  type IceOptions,
  type WhipEndpoint,
  type WhipEndpointOptions,
  type WhipSessionInfo,
} from "./whip-server.ts";
