export * from './config';
export { StoreUnavailable } from './connect';
export * from './connect-store';
export * from './migrate';
export * from './store';
