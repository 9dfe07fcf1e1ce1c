import type { Message } from '@candlewire/bus';
import {
  CHANGES_PUBLISHED_MAX,
  type Channels,
  encodeCandleMessage,
  encodeChangedMessage,
  type PriceUpdate,
} from '@candlewire/contracts';
import type { SymbolChange } from '@candlewire/store';

/**
 * What subscribers are told of a commit: every change of a series by ascending seq, or one `changed` where they are too
 * many to be told one by one, or not all of them are candles: one that a rebuild removed has no message. Hot: the one place where a candle becomes a message.
 */
export function messagesOf(changes: readonly SymbolChange[], channels: Channels, epoch: string): Message[] {
  const messages: Message[] = [];
  for (const { symbol, series } of changes) {
    for (const { interval, changed, seqBefore, seq } of series) {
      if (seq === seqBefore) continue;
      const channel = channels.candles(interval, symbol);
      if (changed.length > CHANGES_PUBLISHED_MAX || changed.length < seq - seqBefore) {
        messages.push({ channel, text: encodeChangedMessage(symbol, interval, epoch, seq) });
        continue;
      }
      for (const candle of changed)
        messages.push({ channel, text: encodeCandleMessage(symbol, interval, epoch, candle) });
    }
  }
  return messages;
}

export function priceMessage(price: PriceUpdate, channels: Channels): Message {
  return { channel: channels.prices(price.symbol), text: JSON.stringify(price) };
}
