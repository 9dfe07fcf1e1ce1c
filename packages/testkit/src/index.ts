export { freePort } from '@candlewire/embedded';
export * from './alpaca';
export * from './bars';
export * from './servers';
export * from './service';
export * from './wait-for';
