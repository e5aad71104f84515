/** The suites that take minutes: `npm run test:crash`. */
import { defineConfig } from 'vitest/config';
import base from './vitest.config.ts';

export default defineConfig({ ...base, test: { ...base.test, include: ['test/faults/crash.test.ts', 'test/faults/stow-crash.test.ts', 'test/faults/*.slow.ts'] } });
