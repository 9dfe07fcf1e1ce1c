import { join } from 'node:path';
import { startChild } from '../child';
import type { LoadCalls } from './load';

export type Audience = LoadCalls & { stop(): Promise<unknown> };

/** Starts a process that plays the clients of one gateway. */
export function startAudience(): Audience {
  const { call, stop } = startChild(join(__dirname, 'load.js'));
  return {
    use: (order) => call('use', order),
    open: (order) => call('open', order),
    close: () => call('close'),
    expect: (order) => call('expect', order),
    arrived: () => call('arrived'),
    count: () => call('count'),
    openReaders: (order) => call('openReaders', order),
    stall: () => call('stall'),
    closeReaders: () => call('closeReaders'),
    stop,
  };
}
