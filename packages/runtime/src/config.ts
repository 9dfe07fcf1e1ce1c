import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'dotenv';
import { z } from 'zod';

export type Env = Readonly<Record<string, string | undefined>>;

/** The real environment over `environment.env` over `.env` in `root`. Files that are not there are no problem. */
export function readEnv(root: string, real: Env): Env {
  const merged: Record<string, string | undefined> = {};
  for (const file of ['.env', 'environment.env']) {
    try {
      Object.assign(merged, parse(readFileSync(join(root, file))));
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'ENOENT')
        throw new ConfigError([`${file}: cannot be read (${(err as Error).message})`]);
    }
  }
  return Object.assign(merged, real);
}

/** Everything that is wrong with a configuration, by name. Its message is meant for a person at a terminal. */
export class ConfigError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(`configuration:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    this.name = 'ConfigError';
  }
}

/**
 * The variables of `shape` from the environment, an empty value being an absent one.
 * Each service joins the fragments of the packages that it uses: `parseConfig({ ...busConfig, ...storeConfig, PORT }, env)`.
 * @throws ConfigError naming each variable that is wrong; values are never repeated, for they may be secret
 */
export function parseConfig<Shape extends z.ZodRawShape>(shape: Shape, env: Env): z.infer<z.ZodObject<Shape>> {
  const given = Object.fromEntries(Object.keys(shape).map((name) => [name, env[name]?.trim() || undefined]));
  const result = z.object(shape).safeParse(given);
  if (result.success) return result.data;
  throw new ConfigError(
    result.error.issues.map((issue) => {
      const name = issue.path.join('.');
      const isMissing = issue.code === 'invalid_type' && given[name] === undefined;
      return `${name}: ${isMissing ? 'must be set' : issue.message}`;
    }),
  );
}

/** A whole number between two bounds, e.g. `PORT: whole(1, 65535).default(8000)`. */
export function whole(min: number, max: number) {
  const message = `must be a whole number from ${min} to ${max}`;
  return z
    .string()
    .regex(/^\d+$/, message)
    .transform(Number)
    .refine((value) => value >= min && value <= max, message);
}

/** One of some words. */
export function oneOf<const Words extends readonly [string, ...string[]]>(words: Words) {
  return z.enum(words, { error: `must be one of ${words.join(', ')}` });
}

/** An address with one of these protocols (`redis:`). */
export function url(...protocols: string[]) {
  return z
    .string()
    .refine(
      (value) => URL.canParse(value) && protocols.includes(new URL(value).protocol),
      `must be an address like ${protocols.map((protocol) => `${protocol}//host:port`).join(' or ')}`,
    );
}

/** What every process reads. */
export const runtimeConfig = {
  LOG_LEVEL: oneOf(['error', 'warn', 'info', 'debug']).default('info'),
  /** A CSV like nyse-calendar.csv that replaces it, for a sudden closure. */
  CALENDAR_FILE: z.string().optional(),
};
