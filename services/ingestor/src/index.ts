export { checkIngestorConfig, ingestorConfig } from './config';
export type { Counters } from './counters';
export { createIngestor, type Ingestor, type IngestorOptions } from './ingestor';
export * from './sources/source';
export { type StartOptions, startIngestor } from './start';
