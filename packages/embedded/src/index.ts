export { guard } from './guard';
export * from './postgres';
export * from './redis';
export { freePort, type KeptServer } from './server-process';
