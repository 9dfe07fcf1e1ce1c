export * from './bus';
export * from './config';
export * from './errors';
export { type BusOptions, connectBus } from './redis-bus';
