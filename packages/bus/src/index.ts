export * from './bus';
export * from './config';
export * from './errors';
export { createInProcessBus, type InProcessHub } from './in-process-bus';
export { type BusOptions, connectBus } from './redis-bus';
