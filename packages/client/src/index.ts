export { CandleTable, foldCandles } from './candle-table.ts';
export * from './client.ts';
export { CandlewireError, type CandlewireErrorOptions } from './errors.ts';
export type { LinkState, WebSocketClass, WebSocketLike } from './link.ts';
export * from './rest.ts';
export * from './types.ts';
