import { readExchange, readExchanges } from '../db/operator-reads.ts';
import { CommandError } from './explain.ts';
import { table } from './print.ts';
import { withInstallation } from './with-installation.ts';

export async function listExchangesCommand(options: { readonly organization?: string; readonly limit: number }): Promise<void> {
  const rows = await withInstallation(({ database }) => readExchanges(database, options.organization, options.limit));
  if (rows.length === 0) return console.log('No message has been received or sent yet.');
  console.log(table(['ID', 'STARTED', 'ORGANIZATION', 'DIRECTION', 'ADAPTER', 'INTERACTION', 'STATUS', 'ANSWER', 'MS', 'ERROR'], rows.map((row) => [
    row.sync_id, row.started_at.toISOString(), row.organization, row.direction, row.adapter, row.interaction, row.message_status, row.answer_code,
    row.duration_ms === null ? '' : Math.round(row.duration_ms), row.error_text,
  ])));
}

export async function showExchangeCommand(id: string, options: { readonly organization?: string }): Promise<void> {
  if (!/^[0-9a-f-]{36}$/i.test(id)) throw new CommandError(`"${id}" is not the id of an exchange; see: medscan exchange list`);
  const row = await withInstallation(({ database }) => readExchange(database, options.organization, id));
  if (!row) throw new CommandError(`There is no exchange ${id}${options.organization ? ` in ${options.organization}` : ''}.`);
  console.log(table(['FIELD', 'VALUE'], Object.entries(row).map(([name, value]) => [name, typeof value === 'object' ? JSON.stringify(value) : String(value)])));
}
