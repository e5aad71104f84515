/**
 * What the API asks the rest of the gateway to do. The pipeline and the integration registry implement it (src/main.ts wires them);
 * tests give a fake. Commands that change rows write their own audit rows in their own transaction, in the actor's name.
 */
import type { ConnectionTest, Peer } from '#gateway/adapter.ts';
import type { AuditActor } from '../audit/event.ts';
import type { MessageCommands } from '../gateway/message-commands.ts';

export interface ApiCommands extends MessageCommands {
  /** Declares the scan's images complete, whatever is still expected, so that analysis starts. */
  forceComplete(organizationId: string, scanId: string, actor: AuditActor): Promise<ForceCompletion>;
  /** Runs the adapter's testConnection. undefined: no such integration in this organization. */
  testIntegration(organizationId: string, integrationId: string): Promise<ConnectionTest | undefined>;
  /** Opens a stored object for reading; throws when it is not there. `offset` skips that many bytes. */
  openStoredObject(location: string): Promise<StoredObjectContent>;
  /** Every installed adapter, with the form of its settings. */
  adapterCatalog(): readonly AdapterDescription[];
  /**
   * Validates settings and credentials by the adapter's schema, seals secrets, writes the row with its version history and an audit
   * row, in one transaction. Secrets that are absent keep their stored value. `integrationId` undefined creates.
   */
  saveIntegration(organizationId: string, integrationId: string | undefined, change: IntegrationChange, actor: AuditActor): Promise<SavedIntegration>;
  /** Makes listeners and deliveries see changed integrations; resolves when they do. */
  reloadIntegrations(): Promise<void>;
  /** Serves a request below an HTTP adapter's mount (/fhir/r4). undefined: no adapter is mounted at this path. */
  handleAdapterHttp(request: Request, peer: Peer): Promise<Response | undefined>;
  /** Names of parts that are not ready yet, with the reason; empty when the gateway can take messages. */
  notReady(): Promise<readonly string[]>;
}

export type ForceCompletion =
  | { readonly kind: 'completed'; readonly completionRun: number }
  | { readonly kind: 'not-found' }
  /** Nothing to do or not possible: already complete, cancelled, no images yet. */
  | { readonly kind: 'refused'; readonly reason: string };

export interface StoredObjectContent { readonly byteSize: number; readonly stream: ReadableStream<Uint8Array> }

export interface AdapterDescription {
  readonly name: string;
  readonly title: string;
  readonly summary: string;
  /** JSON Schema (2020-12) of the settings. */
  readonly settingsSchema: Readonly<Record<string, unknown>>;
  /** Names of settings that are credentials: accepted, never returned. */
  readonly secretFields: readonly string[];
  readonly inbound: readonly string[];
  readonly outbound: readonly string[];
}

export interface IntegrationChange {
  readonly name: string;
  readonly kind: 'pacs' | 'ris' | 'emr' | 'modality' | 'ai' | 'archive';
  readonly adapter: string;
  readonly direction: 'inbound' | 'outbound' | 'both';
  readonly settings: Readonly<Record<string, unknown>>;
  readonly isEnabled: boolean;
  readonly ownerContact?: string | null | undefined;
  readonly purpose?: string | null | undefined;
  /** Refuse (kind 'stale') unless the stored row has this version. */
  readonly expectedVersion?: number | undefined;
}

export type SavedIntegration =
  | { readonly kind: 'saved'; readonly integrationId: string; readonly version: number }
  | { readonly kind: 'not-found' }
  | { readonly kind: 'stale'; readonly version: number }
  /** `pointer` is a JSON pointer into the change: /settings/port. */
  | { readonly kind: 'invalid'; readonly errors: readonly { readonly pointer: string; readonly message: string }[] };
