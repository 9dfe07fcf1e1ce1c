/** One jest configuration for everything. `*.test.ts` need no server; `*.it.test.ts` use the servers that global set-up brought up. */
module.exports = {
  testEnvironment: 'node',
  roots: ['<rootDir>/packages', '<rootDir>/services', '<rootDir>/tests'],
  testMatch: ['**/*.test.ts'],
  modulePathIgnorePatterns: ['/dist/'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'commonjs' } },
    ],
  },
  moduleNameMapper: {
    '^@candlewire/(contracts|alpaca|candles|runtime|bus|store|embedded|testkit|client)$':
      '<rootDir>/packages/$1/src/index.ts',
    '^@candlewire/(ingestor|aggregator|gateway|standalone)$': '<rootDir>/services/$1/src/index.ts',
  },
  globalSetup: '<rootDir>/tests/setup/global-setup.cjs',
  globalTeardown: '<rootDir>/tests/setup/global-teardown.cjs',
  reporters: ['<rootDir>/tests/setup/skips-reporter.cjs', 'default'],
  testTimeout: 60_000,
  maxWorkers: 2,
};
