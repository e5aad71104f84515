/** Against servers that nobody here wrote, named by the environment: `npm run test:fhir-interop`. */
import { defineConfig } from 'vitest/config';
import base from './vitest.config.ts';

export default defineConfig({ ...base, test: { ...base.test, include: ['{adapters,test}/**/*.remote.ts'] } });
