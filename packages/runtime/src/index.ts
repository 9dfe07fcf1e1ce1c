export * from './backoff';
export * from './calendar-file';
export * from './config';
export * from './lifecycle';
export * from './logger';
