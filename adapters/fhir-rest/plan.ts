/**
 * How a report gets to one server, decided from what the server offers:
 *
 *   transaction      one Bundle, all or nothing
 *   batch            a few batches, one per stage: entries of a batch cannot refer to each other, so ids must be known first
 *   single           the same stages, one request for each resource
 *
 *   DiagnosticReport where it can be created and corrected; else DocumentReference; else DiagnosticReport that can be created only; else
 *   nothing is sent, because ORU^R01 is the way such a server gets results.
 *
 * Types that cannot be written are left out, and what refers to them names them by identifier.
 */
import type { Config } from './config.ts';
import type { ServerOffer } from './server-offer.ts';

export type Carrier = 'DiagnosticReport' | 'DocumentReference';
export type OptionalType = 'Binary' | 'Device' | 'Endpoint' | 'ImagingStudy' | 'Observation' | 'Provenance' | 'Task' | 'Flag' | 'Communication';

export interface Plan {
  readonly way: 'transaction' | 'batch' | 'single';
  readonly carrier: Carrier;
  /** Written where the server takes them. */
  readonly sends: ReadonlySet<OptionalType>;
  readonly offer: ServerOffer;
}
export interface NoPlan { readonly refused: string }

const alwaysWanted: readonly OptionalType[] = ['Device', 'ImagingStudy', 'Observation', 'Provenance'];

/** The types that a site gets besides the report, by its settings. */
function wantedTypes(config: Config): readonly OptionalType[] {
  return [
    ...alwaysWanted, ...(config.page_content === 'binary' ? ['Binary' as const] : []), ...(config.wado_rs_url === undefined ? [] : ['Endpoint' as const]), ...(config.order_update === 'task' ? ['Task' as const] : []),
    ...(config.critical_findings === 'flag' ? ['Flag' as const] : config.critical_findings === 'communication' ? ['Communication' as const] : []),
  ];
}

export function planFor(offer: ServerOffer, config: Config): Plan | NoPlan {
  const carrier = carrierFor(offer, config);
  if (carrier === undefined) return { refused: noCarrier(config) };
  const sends = new Set(wantedTypes(config).filter((type) => type === 'Binary' ? offer.offers(type, 'create by update') : offer.offers(type, 'create') || (offer.offers(type, 'update') && offer.offers(type, 'conditional update'))));
  return { way: wayFor(offer, config), carrier, sends, offer };
}

function wayFor(offer: ServerOffer, config: Config): Plan['way'] {
  if (config.deliver_by !== 'auto') return config.deliver_by;
  return offer.transaction ? 'transaction' : offer.batch ? 'batch' : 'single';
}

function carrierFor(offer: ServerOffer, config: Config): Carrier | undefined {
  const creates = (type: Carrier): boolean => offer.offers(type, 'create'), corrects = (type: Carrier): boolean => creates(type) && offer.offers(type, 'update');
  if (config.report_as === 'diagnostic-report') return creates('DiagnosticReport') ? 'DiagnosticReport' : undefined;
  if (config.report_as === 'document-reference') return creates('DocumentReference') ? 'DocumentReference' : undefined;
  const order: readonly Carrier[] = ['DiagnosticReport', 'DocumentReference'];
  return order.find(corrects) ?? order.find(creates);
}

function noCarrier(config: Config): string {
  const wanted = config.report_as === 'auto' ? 'neither DiagnosticReport nor DocumentReference' : `no ${config.report_as === 'diagnostic-report' ? 'DiagnosticReport' : 'DocumentReference'}`;
  return `by its CapabilityStatement the server lets us create ${wanted}: send results to this system as ORU^R01 (adapter hl7v2-mllp), or ask its operator for the permission`;
}

/** What the plan does to each type, in the letters of SMART scopes: 'Observation' -> 'crus'. */
export function scopesFor(plan: Plan, config: Config): ReadonlyMap<string, string> {
  const { offer } = plan, needed = new Map<string, string>();
  const need = (type: string, letters: string): unknown => needed.set(type, letters);
  const found = (type: string): string => offer.offers(type, 'search') ? 's' : '';
  for (const type of [plan.carrier, ...plan.sends]) need(type, type === 'Binary' ? 'cu' : `c${offer.offers(type, 'update') ? 'u' : ''}${found(type)}`);
  if (plan.sends.has('Observation') && offer.offers('Observation', 'read')) need('Observation', `${needed.get('Observation')}r`);
  if (config.patient === 'conditional-create') need('Patient', `c${found('Patient')}`);
  if (config.patient === 'conditional-update') need('Patient', `cu${found('Patient')}`);
  if (config.patient === 'match' || (config.patient === 'reference' && plan.way !== 'transaction')) need('Patient', 's');
  if (config.find_order || config.order_update === 'service-request') need('ServiceRequest', config.order_update === 'service-request' ? 'us' : 's');
  return needed;
}

/** The plan for a person: what will be sent, and what will be missing there. */
export function planWords(plan: Plan | NoPlan, config: Config): { readonly detail: string; readonly advice: string | undefined } {
  if ('refused' in plan) return { detail: 'results cannot be delivered', advice: `${plan.refused.charAt(0).toUpperCase()}${plan.refused.slice(1)}.` };
  const ways = { transaction: 'one transaction', batch: 'batches, one per stage', single: 'single requests, one per resource' };
  const missing = wantedTypes(config).filter((type) => type !== 'Binary' && !plan.sends.has(type));
  const advice = [
    ...(plan.way === 'transaction' ? [] : ['A delivery that breaks off leaves a part there until it is completed by the next attempt.']),
    ...(missing.length === 0 ? [] : [`Left out, because the server does not take them: ${missing.join(', ')}.`]),
    ...(config.page_content === 'binary' && !plan.sends.has('Binary') ? ['The server does not take a Binary under an id of ours (updateCreate): the pages go inline.'] : []),
    ...(config.order_update === 'service-request' && !(plan.offer.offers('ServiceRequest', 'search') && plan.offer.offers('ServiceRequest', 'update')) ? ['The server does not let us search and update ServiceRequest: orders are not set to completed there.'] : []),
    ...(plan.offer.offers(plan.carrier, 'update') ? [] : [`The server does not take updates of ${plan.carrier}: corrections and retractions must be made there by hand.`]),
    ...(canBeFound(plan.offer, plan.carrier) ? [] : [`The server cannot search ${plan.carrier} by identifier or patient: after a lost answer a person must look before it is sent again.`]),
  ];
  return { detail: `results go as ${plan.carrier} by ${ways[plan.way]}`, advice: advice.length === 0 ? undefined : advice.join(' ') };
}

/** Whether what we sent can be found again, so that sending twice makes nothing twice. */
export function canBeFound(offer: ServerOffer, type: string): boolean {
  if (offer.offers(type, 'conditional update') || offer.offers(type, 'conditional create')) return true;
  return offer.offers(type, 'search') && ['identifier', 'patient', 'subject', 'target', '_tag'].some((parameter) => offer.searches(type, parameter));
}
