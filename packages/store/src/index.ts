export * from './config';
export { StoreUnavailable } from './connect';
export * from './connect-store';
export * from './migrate';
export { mergeSpans, type Span, sessionSpans, without } from './spans';
export * from './store';
