/** `tonetap/werift`: WebRTC peers as audio sources, by WHIP or from a werift connection that a program already has. */
export { attachPeer, type PeerSourceOptions, sourceFromTrack } from "./attach-peer.ts";
export { acceptTokens } from "./bearer-tokens.ts";
export { type IceServer, iceServers, type TurnAccess } from "./ice-servers.ts";
export {
  createWhipEndpoint,
  WHIP_MAX_BODY_BYTES,
  type WhipEndpoint,
  type WhipEndpointOptions,
  type WhipRequest,
  type WhipResponse,
  type WhipSessionInfo,
} from "./whip-server.ts";
export type { IceOptions } from "./whip-session.ts";
