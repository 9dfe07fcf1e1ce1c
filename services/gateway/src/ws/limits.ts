import type { wsConfig } from '../config';

/** Messages that a client may send at once before its rate counts. */
const INBOUND_BURST = 100;
const HEARTBEAT_MS = 15_000;

/** What one client may cost. */
export interface WsLimits {
  readonly messageBytesMax: number;
  /** Of one connection; `*` counts one. */
  readonly subscriptionsMax: number;
  readonly inboundPerS: number;
  readonly inboundBurst: number;
  readonly connectionsMax: number;
  readonly pingMs: number;
  /** After so long without a message the client is told that the connection lives. */
  readonly heartbeatMs: number;
  /** Of what waits to be sent to one client. */
  readonly queueHardBytes: number;
}

type WsConfig = { readonly [Name in keyof typeof wsConfig]: number };

export function wsLimits(config: WsConfig): WsLimits {
  return {
    messageBytesMax: config.WS_MAX_MESSAGE_BYTES,
    subscriptionsMax: config.WS_MAX_SUBSCRIPTIONS,
    inboundPerS: config.WS_MAX_INBOUND_PER_S,
    inboundBurst: INBOUND_BURST,
    connectionsMax: config.WS_MAX_CONNECTIONS,
    pingMs: config.WS_PING_MS,
    heartbeatMs: HEARTBEAT_MS,
    queueHardBytes: config.WS_QUEUE_HARD_BYTES,
  };
}
