/** Sign in, sign out, and the state of the gateway; the other pages are in console.ts and the files named *-pages.ts. */
import type { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { UNASSIGNED_ORGANIZATION_ID } from '#domain/organization.ts';
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { actorOf, type ApiDependencies, type ApiEnv } from '../api/context.ts';
import { recordRefusedUse } from '../api/middleware/authorize.ts';
import { requireOwnOrigin } from '../api/middleware/identify.ts';
import { isAllowed } from '../api/permissions.ts';
import { Problem } from '../api/problem.ts';
import { reloadPreference, statusPageReloads, writePreference } from '../api/queries/settings.ts';
import { signIn, signOut } from '../api/sign-in.ts';
import { inOrganization } from '../db/transaction.ts';
import { loginPage } from './login.ts';
import { ownPage, signedIn, signInFirst } from './signed-in.ts';
import { readInstallationAlerts, readStatusRows } from './status-rows.ts';
import { statusPage } from './status.ts';
import { styles } from './styles.ts';

const wrongSignIn = 'The address or the password is wrong. After five wrong attempts an account is locked for 15 minutes.';
const smallForm = bodyLimit({ maxSize: 16 * 1024, onError: () => { throw new Problem(413, 'The form is too large.'); } });

export function webPages(app: Hono<ApiEnv>, dependencies: ApiDependencies): void {
  app.get('/assets/medscan.css', (c) => c.body(styles, 200, { 'content-type': 'text/css; charset=utf-8', 'cache-control': 'public, max-age=300' }));

  app.get('/login', (c) => c.html(loginPage({ next: c.req.query('next') })));

  app.post('/login', smallForm, async (c) => {
    requireOwnOrigin(c);
    const form = await c.req.parseBody();
    const field = (name: string): string => (typeof form[name] === 'string' ? form[name].slice(0, 1_000) : '');
    try {
      await signIn(c, dependencies, { email: field('email').trim(), password: field('password'), organization: field('organization').trim() || undefined });
    } catch (error) {
      if (error instanceof Problem) return c.html(loginPage({ error: error.status === 401 ? wrongSignIn : error.message, next: field('next') }), error.status);
      throw error;
    }
    return c.redirect(ownPage(field('next')), 303);
  });

  app.post('/logout', async (c) => {
    const caller = await signedIn(c, dependencies);
    if (caller) await signOut(c, dependencies, caller);
    return c.redirect('/login', 303);
  });

  app.get('/', async (c) => {
    // The page's own reload neither keeps the session alive nor fills the audit log: only the opening of the page is an event.
    const reload = c.req.query('auto') === '1';
    const caller = await signedIn(c, dependencies, { keepAlive: !reload });
    if (!caller) return signInFirst(c);
    if (!isAllowed(caller.role, caller.scopes, 'queue:read')) {
      await recordRefusedUse(c, dependencies, caller, 'queue:read');
      throw new Problem(403, `The role ${caller.role} may not see the status page.`);
    }
    const { rows, reloads } = await inOrganization(dependencies.database, caller.organizationId, async (tx) => {
      if (!reload) await recordAudit(tx, { ...auditEvents.query, action: 'R', outcome: 'success', actor: actorOf(c, caller), requestId: c.get('requestId'), object: { type: 'status_page', id: '*' } });
      return { rows: await readStatusRows(tx), reloads: await statusPageReloads(tx, caller.userId) };
    });
    const ofInstallation = await inOrganization(dependencies.database, UNASSIGNED_ORGANIZATION_ID, readInstallationAlerts);
    return c.html(statusPage({ rows, ofInstallation, caller, seesExchanges: isAllowed(caller.role, caller.scopes, 'exchanges:read'), reloads, now: new Date() }));
  });

  app.post('/reload', smallForm, async (c) => {
    const caller = await signedIn(c, dependencies);
    if (!caller) return c.redirect('/login', 303);
    const reload = (await c.req.parseBody())['reload'] === 'on';
    await inOrganization(dependencies.database, caller.organizationId, (tx) => writePreference(tx, caller.userId, reloadPreference, reload));
    return c.redirect('/', 303);
  });
}
