export * from './clock';
export * from './fake-alpaca';
export * from './faults';
export * from './market';
export * from './records';
export { startFakeAlpaca } from './server';
