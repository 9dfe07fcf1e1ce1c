import { CandleSubscriptions } from './candle-subscriptions';
import { type ClientMessage, channelOf, handleMessages, symbolsOf, type WsChannel } from './client-messages';
import type { Connection } from './connection';
import { type LeftOut, LeftOutTeller } from './left-out';
import { PriceSubscriptions } from './price-subscriptions';
import type { SubscriptionDeps, Subscriptions } from './subscriptions';

export type FullProtocolDeps = Omit<SubscriptionDeps, 'connection' | 'hasRoom'> & {
  readonly leftOut: LeftOut;
  readonly onFailure: (err: unknown) => void;
};

/** `/ws`: prices and candles of the symbols that a client names, or of all. */
export function serveFully(deps: FullProtocolDeps, connection: Connection): (text: string) => void {
  const size = (): number => channels.prices.size + channels.candles.size;
  const own: SubscriptionDeps = {
    ...deps,
    connection,
    hasRoom: (more) => size() + more <= deps.subscriptionsMax,
  };
  const channels: Readonly<Record<WsChannel, Subscriptions>> = {
    prices: new PriceSubscriptions(own),
    candles: new CandleSubscriptions(own),
  };
  const end = (): void => {
    for (const channel of Object.values(channels)) channel.end();
  };
  connection.onEnd(end);
  const watched = (): string[] => [...channels.prices.symbols(), ...channels.candles.symbols()];
  const teller = new LeftOutTeller(connection, deps.leftOut, watched);
  const handlers = {
    async subscribe(message: ClientMessage): Promise<void> {
      await channels[channelOf(message)].subscribe(message);
      teller.subscribed(symbolsOf(message));
    },
    unsubscribe(message: ClientMessage): void {
      channels[channelOf(message)].unsubscribe(message);
      teller.unsubscribed();
    },
  };
  return handleMessages(connection, handlers, deps.onFailure);
}
