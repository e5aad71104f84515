import { sopClassName } from '#standards/dicom/sop-classes.ts';
import { transferSyntaxes } from '#standards/dicom/transfer-syntaxes.ts';
import type { OfferedContext } from '#gateway/associations.ts';
import { readAssociation, readAssociations } from '../db/operator-reads.ts';
import { CommandError } from './explain.ts';
import { table } from './print.ts';
import { withInstallation } from './with-installation.ts';

export async function listAssociationsCommand(options: { readonly organization?: string; readonly limit: number; readonly refused?: true }): Promise<void> {
  const rows = await withInstallation(({ database }) => readAssociations(database, options.organization, { limit: options.limit, onlyRefused: options.refused === true }));
  if (rows.length === 0) return console.log(options.refused ? 'Every association was released in good order.' : 'No DICOM association has been made yet.');
  console.log(table(['ID', 'STARTED', 'ORGANIZATION', 'CALLING', 'CALLED', 'ADDRESS', 'CONTEXTS', 'OBJECTS', 'KIB', 'SECONDS', 'ENDED', 'WHY'], rows.map((row) => [
    row.association_id, row.started_at.toISOString(), row.organization, row.calling_ae_title, row.called_ae_title, row.peer_address, `${row.contexts_accepted}/${row.contexts_offered}`, row.objects,
    Math.ceil(row.bytes_received / 1024), (row.duration_ms / 1000).toFixed(1), row.rejection ? `${row.outcome} ${row.rejection}` : row.outcome,
    [row.reason, row.repeats > 0 ? `(and ${row.repeats} times more)` : '', row.advice].filter(Boolean).join(' '),
  ])));
}

const results = ['accepted', 'refused by a setting (1)', 'refused (2)', 'service not supported (3)', 'transfer syntaxes not supported (4)'];
const syntaxName = (uid: string): string => transferSyntaxes.get(uid)?.name ?? uid;

export async function showAssociationCommand(id: string, options: { readonly organization?: string }): Promise<void> {
  if (!/^[0-9a-f-]{36}$/i.test(id)) throw new CommandError(`"${id}" is not the id of an association; see: medscan association list`);
  const row = await withInstallation(({ database }) => readAssociation(database, options.organization, id));
  if (!row) throw new CommandError(`There is no association ${id}${options.organization ? ` in ${options.organization}` : ''}.`);
  const { contexts, ...fields } = row as unknown as Record<string, unknown> & { contexts: readonly OfferedContext[] };
  console.log(table(['FIELD', 'VALUE'], Object.entries(fields).map(([name, value]) => [name, typeof value === 'object' ? JSON.stringify(value) : String(value)])));
  console.log(`\n${table(['CONTEXT', 'SERVICE', 'ANSWER', 'TRANSFER SYNTAXES'], contexts.map((context) => [
    context.id, sopClassName(context.abstract_syntax), results[context.result] ?? `result ${context.result}`,
    context.transfer_syntaxes.map((uid) => (uid === context.transfer_syntax ? `[${syntaxName(uid)}]` : syntaxName(uid))).join(', '),
  ]))}`);
}
