export { readConfig, type StandaloneConfig, standaloneConfig } from './config';
export { type StandaloneDeps, startStandalone } from './standalone';
