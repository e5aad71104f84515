/**
 * What the API asks the rest of the gateway to do. The pipeline and the integration registry implement it (src/main.ts wires them);
 * tests give a fake. Commands that change rows write their own audit rows in their own transaction, in the actor's name.
 */
import type { Peer } from '#gateway/adapter.ts';
import type { AuditActor } from '../audit/event.ts';
import type { ImageFile, Picture, PictureWanted } from '../gateway/images.ts';
import type { IntegrationCommands } from '../gateway/integration-commands.ts';
import type { MessageCommands, StoredHead } from '../gateway/message-commands.ts';
import type { Decision, OperatorCommands, PriorsRequest, VersionDecision, Withdrawal } from '../pipeline/index.ts';

export interface ApiCommands extends MessageCommands, OperatorCommands, Pick<IntegrationCommands, 'adapterCatalog' | 'conformanceStatement' | 'saveIntegration' | 'testIntegration'> {
  /** Declares the scan's images complete, whatever is still expected, so that analysis starts. */
  forceComplete(organizationId: string, scanId: string, actor: AuditActor): Promise<ForceCompletion>;
  /** Searches for earlier studies of the scan's patient now, and has those fetched that fit the rules. */
  fetchPriors(organizationId: string, scanId: string, actor: AuditActor): Promise<PriorsRequest>;
  /** Puts an image in use that was kept out of it, which completes its scan again, or sets it aside. Writes its own audit row. */
  decideVersion(organizationId: string, scanFileId: string, decision: VersionDecision, reason: string, actor: AuditActor): Promise<Decision>;
  /** Makes a next version of the report that says it is withdrawn, and sends it to whom an earlier one was sent. Writes its own audit row. */
  withdrawReport(organizationId: string, reportId: string, reason: string, actor: AuditActor): Promise<Withdrawal>;
  /** Opens a stored object for reading; throws when it is not there. `offset` skips that many bytes. */
  openStoredObject(location: string): Promise<StoredObjectContent>;
  /** The beginning of a stored object, as much as any header needs; throws when it is not there. */
  storedHead(location: string): Promise<StoredHead>;
  /** A picture of a stored image for a page. Throws ImageError. */
  picture(image: ImageFile, wanted: PictureWanted, signal?: AbortSignal): Promise<Picture>;
  /** Makes listeners and deliveries see changed integrations; resolves when they do. */
  reloadIntegrations(): Promise<void>;
  /** Serves a request below an HTTP adapter's mount (/fhir/r4). undefined: no adapter is mounted at this path. */
  handleAdapterHttp(request: Request, peer: Peer): Promise<Response | undefined>;
  /** Where HTTP adapters are mounted: /fhir/r4. */
  adapterMounts(): readonly string[];
  /** Names of parts that are not ready yet, with the reason; empty when the gateway can take messages. */
  notReady(): Promise<readonly string[]>;
}

export type ForceCompletion =
  | { readonly kind: 'completed'; readonly completionRun: number }
  | { readonly kind: 'not-found' }
  /** Nothing to do or not possible: already complete, cancelled, no images yet. */
  | { readonly kind: 'refused'; readonly reason: string };

export interface StoredObjectContent { readonly byteSize: number; readonly stream: ReadableStream<Uint8Array> }
