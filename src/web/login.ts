import { html } from 'hono/html';
import { page, type Html } from './layout.ts';

export function loginPage({ error, next }: { readonly error?: string; readonly next?: string | undefined } = {}): Html {
  return page({ title: 'Sign in · MedScan Gateway', body: html`<div class="sign-in"><div class="panel">
<h1>MedScan Gateway</h1><p class="hint">Sign in to see the state of the gateway.</p>
${error === undefined ? '' : html`<p class="error" role="alert">${error}</p>`}
<form method="post" action="/login">${next ? html`<input type="hidden" name="next" value="${next}">` : ''}
<label>E-mail address<input name="email" type="email" autocomplete="username" required autofocus maxlength="254"></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required maxlength="256"></label>
<label>Organization <small>(only if your address is used in several)</small><input name="organization" autocomplete="organization" maxlength="200"></label>
<button class="primary">Sign in</button>
</form></div></div>` });
}
