export { guard } from './guard';
export * from './postgres';
export * from './redis';
export { findRedis, type RedisBinary, type RedisSearch } from './redis-binary';
export { freePort, type KeptServer } from './server-process';
