import { auditEvents } from '../../audit/event.ts';
import { pathId } from '../fields.ts';
import { listOf, toPage } from '../pagination.ts';
import { notFound } from '../problem.ts';
import { Association, associationQuery, AssociationWithContexts, listAssociations, readAssociation } from '../queries/associations.ts';
import type { ApiRouter } from '../router.ts';

export function associationRoutes(router: ApiRouter): void {
  router.route('GET /associations', {
    summary: 'DICOM associations, newest first', tag: 'exchanges', query: associationQuery, returns: listOf(Association),
  }, ({ transact, query }) => transact(async (tx, audit) => {
    const page = toPage(await listAssociations(tx, query), query, (association) => association.association_id);
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'association', id: '*' }, detail: { results: page.items.length } });
    return page;
  }));

  router.route('GET /associations/{association_id}', {
    summary: 'One association with what was offered and accepted', tag: 'exchanges', params: pathId('association_id'), returns: AssociationWithContexts,
  }, ({ transact, params }) => transact(async (tx, audit) => {
    const association = await readAssociation(tx, params.association_id);
    if (!association) throw notFound('association');
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'association', id: association.association_id } });
    return association;
  }));
}
