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
  readonly connectionsPerIpMax: number;
  readonly connectionsMax: number;
  /** So long an upgrade without a key may take to show one. */
  readonly authMs: number;
  readonly pingMs: number;
  /** After so long without a message the client is told that the connection lives. */
  readonly heartbeatMs: number;
  /** Above so much that waits to be sent to one client, changes are no longer queued for it: it is caught up from the store. */
  readonly queueSoftBytes: number;
  /** Above so much it is closed. */
  readonly queueHardBytes: number;
  /** A client with something to read that takes nothing for so long is closed. */
  readonly stallMs: number;
  /** At shutdown clients are sent away over so long, or quicker where there are few. */
  readonly drainMs: number;
  /** What comes up within so long goes out in one write; 0: within one turn of the event loop. */
  readonly flushMs: number;
}

type WsConfig = { readonly [Name in keyof typeof wsConfig]: number };

export function wsLimits(config: WsConfig): WsLimits {
  return {
    messageBytesMax: config.WS_MAX_MESSAGE_BYTES,
    subscriptionsMax: config.WS_MAX_SUBSCRIPTIONS,
    inboundPerS: config.WS_MAX_INBOUND_PER_S,
    inboundBurst: INBOUND_BURST,
    connectionsPerIpMax: config.WS_MAX_PER_IP,
    connectionsMax: config.WS_MAX_CONNECTIONS,
    authMs: config.WS_AUTH_MS,
    pingMs: config.WS_PING_MS,
    heartbeatMs: HEARTBEAT_MS,
    queueSoftBytes: config.WS_QUEUE_SOFT_BYTES,
    queueHardBytes: config.WS_QUEUE_HARD_BYTES,
    stallMs: config.WS_STALL_MS,
    flushMs: config.WS_FLUSH_MS,
    drainMs: config.WS_DRAIN_MS,
  };
}
