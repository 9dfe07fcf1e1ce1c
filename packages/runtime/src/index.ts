export * from './backoff';
export * from './calendar-file';
export * from './config';
export * from './lifecycle';
export * from './logger';
export * from './metrics';
export * from './metrics-server';
