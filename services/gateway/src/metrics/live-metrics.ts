import type { Metrics } from '@candlewire/runtime';
import type { LiveCounters } from '../live/counters';

type Plain = { [Name in keyof LiveCounters]: LiveCounters[Name] extends number ? Name : never }[keyof LiveCounters];

const TOTALS: readonly (readonly [counter: Plain, name: string, help: string])[] = [
  ['messagesIn', 'messages_in_total', 'Messages that came from the bus.'],
  [
    'messagesOut',
    'messages_out_total',
    'Messages handed to WebSocket clients; one to a thousand clients is a thousand.',
  ],
  ['bytesOut', 'bytes_out_total', 'Bytes handed to WebSocket clients.'],
  ['writes', 'writes_total', 'Writes to sockets of WebSocket clients.'],
  ['skipped', 'skipped_total', 'States that clients who read too slowly were not told.'],
  ['slowCloses', 'slow_closes_total', 'WebSocket clients closed as too slow.'],
  ['gapsHealed', 'gaps_healed_total', 'Times that changes which the bus did not bring were read from the store.'],
  ['resets', 'resets_total', "Clients' series that had to start again."],
  ['storeReads', 'store_reads_total', 'Reads of the store for clients that join or catch up.'],
  ['storeReadsShared', 'store_reads_shared_total', 'Such reads that one of somebody else answered.'],
];

/** What live delivery does. */
export function tellLive(metrics: Metrics, counters: LiveCounters): void {
  for (const [counter, name, help] of TOTALS) metrics.counter(`gateway_${name}`, help, () => counters[counter]);
  metrics.gauge('gateway_connections', 'WebSocket clients now.', () => counters.connections);
  metrics.gaugeBy(
    'channel',
    'gateway_subscriptions',
    'Symbols (prices) and series (candles) that clients follow now.',
    () => counters.subscriptions,
  );
  metrics.counterBy(
    'reason',
    'gateway_ws_refused_total',
    'WebSockets not opened and clients closed, by the code that they were told.',
    () => counters.refused,
  );
  metrics.gauge(
    'gateway_queue_high_water_bytes',
    'The longest queue of one WebSocket client since the start.',
    () => counters.queueHighWaterBytes,
  );
}
