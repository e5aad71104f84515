/** What a filter offers: the organization's systems, and the protocols they speak. */
import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../db/current-organization.ts';
import { sql, type Transaction } from '../db/pool.ts';
import type { Choices } from './parts.ts';

export async function choicesOf(tx: Transaction): Promise<Choices> {
  const integrations = await tx.any(sql.type(z.object({ integration_id: z.string(), name: z.string(), adapter: z.string() }))`SELECT integration_id, name, adapter FROM external_integrations WHERE organization_id = ${ORGANIZATION} ORDER BY name LIMIT 500`);
  return { integrations, adapters: [...new Set(integrations.map(({ adapter }) => adapter))].toSorted() };
}
