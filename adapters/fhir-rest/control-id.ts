/**
 * What an inbound resource is called: `Patient/<system>|<value>#<version>`. The same name with the same bytes is a repeat, answered as before.
 *
 * The version is what the sender gives: X-Request-Id, else meta.versionId, else meta.lastUpdated. Without any, a create is told by its content:
 * sent again it is a retry. An update is not: A, then B, then A again puts A back, so each is its own (updating twice does no harm).
 */
import type { Interaction } from './interaction.ts';

interface Request { readonly sha256: string; readonly requestId: string | undefined; readonly receivedAt: Date }
interface Identifier { readonly system?: string; readonly value?: string; readonly type?: { readonly coding?: readonly { readonly code?: string }[] } }

export function controlIdOf(interaction: Interaction, resource: Readonly<Record<string, unknown>> | undefined, request: Request): string {
  const meta = resource?.['meta'] as { versionId?: string; lastUpdated?: string } | undefined;
  const content = request.sha256.slice(0, 16);
  const isCreate = interaction.kind.endsWith('create');
  const version = request.requestId ?? meta?.versionId ?? meta?.lastUpdated ?? (isCreate ? content : `${content}@${request.receivedAt.toISOString()}`);
  return `${interaction.resourceType}/${nameOf(interaction, resource) ?? content}#${version}`;
}

/** Types by which a resource is known best: medical record number, accession number, placer order number. */
const bestTypes = ['MR', 'ACSN', 'PLAC', 'PI'];

function nameOf(interaction: Interaction, resource: Readonly<Record<string, unknown>> | undefined): string | undefined {
  const identifiers = (resource?.['identifier'] ?? []) as readonly Identifier[];
  const typed = bestTypes.map((type) => identifiers.find((identifier) => identifier.type?.coding?.some((coding) => coding.code === type)));
  const best = interaction.criteria ?? [...typed, ...identifiers].find((identifier) => identifier?.value !== undefined);
  return best === undefined ? interaction.id : `${best.system ?? ''}|${best.value ?? ''}`.slice(0, 400);
}
