import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { ConfigError, type Env, oneOf, parseConfig, readEnv, runtimeConfig, url, whole } from './config';

const SHAPE = {
  PORT: whole(1, 65_535).default(8_000),
  SOURCE: oneOf(['simulator', 'replay']).default('simulator'),
  REDIS_URL: url('redis:', 'rediss:').optional(),
  DATABASE_URL: url('postgres:', 'postgresql:'),
  API_SECRET: z.string().min(20, 'must have at least 20 characters').optional(),
};
const GIVEN = { DATABASE_URL: 'postgres://localhost/x' };

function problemsOf(env: Env): readonly string[] {
  try {
    parseConfig(SHAPE, env);
  } catch (err) {
    if (err instanceof ConfigError) return err.problems;
    throw err;
  }
  return [];
}

describe('parseConfig', () => {
  test('gives typed values and defaults, and nothing that was not asked for', () => {
    expect(parseConfig(SHAPE, { ...GIVEN, PORT: '9000', OTHER: 'x' })).toEqual({
      PORT: 9_000,
      SOURCE: 'simulator',
      DATABASE_URL: 'postgres://localhost/x',
    });
  });

  test('takes an empty or blank value as absent, and drops blanks around others', () => {
    const env = { ...GIVEN, PORT: '', SOURCE: '  ', REDIS_URL: ' redis://localhost ' };
    expect(parseConfig(SHAPE, env)).toMatchObject({ PORT: 8_000, SOURCE: 'simulator', REDIS_URL: 'redis://localhost' });
  });

  test('reports everything that is wrong at once, by name', () => {
    const env = { PORT: '70000', SOURCE: 'yahoo', REDIS_URL: 'http://localhost', API_SECRET: 'short' };
    expect(problemsOf(env)).toEqual([
      'PORT: must be a whole number from 1 to 65535',
      'SOURCE: must be one of simulator, replay',
      'REDIS_URL: must be an address like redis://host:port or rediss://host:port',
      'DATABASE_URL: must be set',
      'API_SECRET: must have at least 20 characters',
    ]);
  });

  test('never repeats a value', () => {
    const secrets = {
      PORT: 'hunter2',
      SOURCE: 'hunter2',
      REDIS_URL: 'hunter2',
      DATABASE_URL: 'x://u:hunter2@h',
      API_SECRET: 'hunter2',
    };
    const problems = problemsOf(secrets);
    expect(problems.map((problem) => problem.split(':')[0])).toEqual(Object.keys(SHAPE));
    expect(new ConfigError(problems).message).not.toContain('hunter2');
  });

  test('lists the problems on lines of their own', () => {
    expect(new ConfigError(['A: one', 'B: two']).message).toBe('configuration:\n  - A: one\n  - B: two');
  });

  test('knows the variables of every process', () => {
    expect(parseConfig(runtimeConfig, {})).toEqual({ LOG_LEVEL: 'info' });
    expect(() => parseConfig(runtimeConfig, { LOG_LEVEL: 'loud' })).toThrow('LOG_LEVEL: must be one of');
  });
});

describe('whole', () => {
  const parses = (value: string) => whole(1, 10).safeParse(value).success;

  test('takes both bounds and what lies between', () => {
    expect(['1', '5', '10', '007'].map(parses)).toEqual([true, true, true, true]);
  });

  test('refuses what is beyond them or no plain whole number', () => {
    for (const value of ['0', '11', '-1', '1.5', '1e1', '0x5', '', ' ', 'five', '99999999999999999999'])
      expect([value, parses(value)]).toEqual([value, false]);
  });
});

describe('url', () => {
  test('takes its protocols alone', () => {
    const parses = (value: string) => url('redis:', 'rediss:').safeParse(value).success;
    expect(['redis://h', 'redis://u:p@h:1/0', 'rediss://h'].map(parses)).toEqual([true, true, true]);
    expect(['h:6379', 'localhost', 'http://h', 'postgres://h', '//h'].map(parses)).toEqual(new Array(5).fill(false));
  });
});

describe('readEnv', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'candlewire-env-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  test('the real environment wins over environment.env, that over .env', () => {
    writeFileSync(join(root, '.env'), 'A=file\nB=file\nC=file\n');
    writeFileSync(join(root, 'environment.env'), '# a comment\nA=named\nB="named"\nD=named\n');
    expect(readEnv(root, { A: 'real', E: 'real' })).toEqual({
      A: 'real',
      B: 'named',
      C: 'file',
      D: 'named',
      E: 'real',
    });
  });

  test('an empty real value hides one of a file', () => {
    writeFileSync(join(root, '.env'), 'SOURCE=replay\n');
    expect(readEnv(root, { SOURCE: '' }).SOURCE).toBe('');
  });

  test('files that are not there are no problem', () => {
    expect(readEnv(root, { A: 'real' })).toEqual({ A: 'real' });
  });

  test('a file that cannot be read is named', () => {
    mkdirSync(join(root, 'environment.env'));
    expect(() => readEnv(root, {})).toThrow(ConfigError);
    expect(() => readEnv(root, {})).toThrow('environment.env: cannot be read');
  });

  test('leaves the environment of the process alone', () => {
    writeFileSync(join(root, '.env'), 'CANDLEWIRE_NOT_SET=file\n');
    readEnv(root, process.env);
    expect(process.env.CANDLEWIRE_NOT_SET).toBeUndefined();
  });
});
