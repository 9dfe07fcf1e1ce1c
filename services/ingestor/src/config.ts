import { accessSync, constants, statSync } from 'node:fs';
import { busConfig } from '@candlewire/bus';
import { parseSymbol, SOURCE_KINDS, SYMBOL_RULE } from '@candlewire/contracts';
import {
  ConfigError,
  type Env,
  loadCalendar,
  metricsConfig,
  oneOf,
  parseConfig,
  runtimeConfig,
  whole,
} from '@candlewire/runtime';
import { storeConfig } from '@candlewire/store';
import { z } from 'zod';
import { LEASE_MS } from './election';
import { alpacaConfig, alpacaProblems } from './sources/alpaca/settings';

const GRACE_MAX_MS = 3_600_000;
/** Below it a busy machine would lose the lead to its own delays. */
const LEASE_MIN_MS = 1_000;
const SEED_MAX = 2 ** 32 - 1;
const HISTORY_DAYS_MAX = 3_650;
const HISTORY_PER_MIN_MAX = 100_000;

/** Registered where the store knows no symbol and none is named. */
export const DEFAULT_SYMBOLS = ['AAPL', 'MSFT', 'NVDA', 'AMZN', 'SPY'] as const;

const speed = z
  .string()
  .transform((value) => (value === 'max' ? Number.POSITIVE_INFINITY : /^\d*\.?\d+$/.test(value) ? Number(value) : 0))
  .refine((factor) => factor > 0, 'must be a positive number or max');

const symbols = z
  .string()
  .transform((value) => value.split(',').map((symbol) => parseSymbol(symbol.trim())))
  .refine((list): list is string[] => list.every((symbol) => symbol !== null), {
    error: `must be symbols with commas between them, each ${SYMBOL_RULE}`,
  });

/** What an ingestor reads from its environment. */
export const ingestorConfig = {
  ...runtimeConfig,
  ...metricsConfig,
  ...busConfig,
  ...storeConfig,
  SOURCE: oneOf(SOURCE_KINDS).default('simulator'),
  /** Registered at each start; a replay delivers what its file holds. */
  SYMBOLS: symbols.optional(),
  /** How many days before the current one a symbol without history is filled from the source. */
  HISTORY_DAYS: whole(0, HISTORY_DAYS_MAX).default(5),
  /** Requests of history that a source gets in a minute; the simulator is asked without limit. */
  HISTORY_MAX_PER_MIN: whole(1, HISTORY_PER_MIN_MAX).default(200),
  SIM_SEED: whole(0, SEED_MAX).default(1),
  SIM_CALENDAR: oneOf(['24x7', 'nyse']).default('24x7'),
  REPLAY_FILE: z.string().optional(),
  /** Factor of the time between deliveries; Infinity for `max`. */
  REPLAY_SPEED: speed.default(1),
  /** How long a leader that died is waited for. */
  INGESTOR_LEASE_MS: whole(LEASE_MIN_MS, LEASE_MS).default(LEASE_MS),
  FINAL_GRACE_MS: whole(0, GRACE_MAX_MS).default(35_000),
  ...alpacaConfig,
};

/** What one needs that brings no servers of its own. */
const serviceConfig = {
  ...ingestorConfig,
  DATABASE_URL: storeConfig.DATABASE_URL.unwrap(),
  REDIS_URL: busConfig.REDIS_URL.unwrap(),
};

/**
 * Everything that is wrong with an ingestor's configuration; empty where all is well. DATABASE_URL and REDIS_URL may be
 * missing: whoever starts the ingestor may bring its own.
 */
export function checkIngestorConfig(env: Env): string[] {
  return problemsIn(ingestorConfig, env);
}

/**
 * @param hasBus REDIS_URL may be missing: the ingestor was given a bus
 * @throws ConfigError with all that is wrong, missing servers included
 */
export function parseIngestorConfig(env: Env, hasBus = false) {
  const shape = hasBus ? { ...ingestorConfig, DATABASE_URL: serviceConfig.DATABASE_URL } : serviceConfig;
  const problems = problemsIn(shape, env);
  if (problems.length > 0) throw new ConfigError(problems);
  return parseConfig({ ...ingestorConfig, DATABASE_URL: serviceConfig.DATABASE_URL }, env);
}

function problemsIn(shape: z.ZodRawShape, env: Env): string[] {
  const problems = problemsOf(() => parseConfig(shape, env));
  const given = (name: string) => env[name]?.trim() || undefined;
  const source = given('SOURCE') ?? 'simulator';
  if (source === 'replay') problems.push(...replayProblems(given('REPLAY_FILE')));
  else if (source === 'alpaca') problems.push(...alpacaProblems(given));
  const calendarFile = given('CALENDAR_FILE');
  if (calendarFile !== undefined) problems.push(...problemsOf(() => loadCalendar('nyse', calendarFile)));
  return problems;
}

function replayProblems(file: string | undefined): string[] {
  if (file === undefined) return ['REPLAY_FILE: must be set for SOURCE=replay'];
  try {
    accessSync(file, constants.R_OK);
    return statSync(file).isFile() ? [] : ['REPLAY_FILE: is not a file'];
  } catch (err) {
    return [`REPLAY_FILE: cannot be read (${(err as NodeJS.ErrnoException).code})`];
  }
}

function problemsOf(act: () => unknown): string[] {
  try {
    act();
    return [];
  } catch (err) {
    if (err instanceof ConfigError) return [...err.problems];
    throw err;
  }
}
