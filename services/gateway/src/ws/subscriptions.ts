import { CLOSE_CODE } from '@candlewire/contracts';
import { TooManyChannels } from '../live/channels';
import type { LiveCounters } from '../live/counters';
import type { Live } from '../live/live';
import type { ClientMessage } from './client-messages';
import { ClientError, type Connection } from './connection';
import type { DemandLeases } from './demand-leases';
import type { KnownSymbols } from './known-symbols';

/** Symbols that an error names. */
const NAMED_MAX = 10;

/** One channel of the full protocol, as one client has subscribed to it. */
export interface Subscriptions {
  /** How much of the client's limit it takes. */
  readonly size: number;
  /** What it names, `*` included; a symbol may come several times. */
  symbols(): Iterable<string>;
  subscribe(message: ClientMessage): void | Promise<void>;
  unsubscribe(message: ClientMessage): void;
  end(): void;
}

export interface SubscriptionDeps {
  readonly connection: Connection;
  readonly live: Live;
  readonly leases: DemandLeases;
  readonly known: KnownSymbols;
  readonly counters: LiveCounters;
  readonly subscriptionsMax: number;
  /** Whether the client may have so many more, whatever the channel. */
  hasRoom(more: number): boolean;
}

export function refuseTooMany({ connection, subscriptionsMax }: SubscriptionDeps, { id }: ClientMessage): void {
  const message = `symbols: more than ${subscriptionsMax} subscriptions`;
  connection.refuse(CLOSE_CODE.tooManySubscriptions, 'too_many_subscriptions', message, id);
}

/** What `follow` makes; null where no more channels can be opened. */
export function followIfRoom<T>(follow: () => T): T | null {
  try {
    return follow();
  } catch (err) {
    if (!(err instanceof TooManyChannels)) throw err;
    return null;
  }
}

/** Tells the client once which symbols of its message cannot be followed, if any. @param id of the message */
export function refuseSome(connection: Connection, symbols: readonly string[], id: unknown): void {
  if (symbols.length === 0) return;
  const named = symbols.slice(0, NAMED_MAX).join(', ') + (symbols.length > NAMED_MAX ? ', …' : '');
  const message = `${symbols.length} of the symbols cannot be followed now (${named}); try again later`;
  connection.sendError(new ClientError('unavailable', message), id);
}
