/**
 * Refuses query parameters that a route does not have: one that is misspelt would filter nothing, and a list of everything would be taken for what was asked for.
 * Runs after the permission is checked, so that who may not read a list learns nothing of it.
 */
import type { MiddlewareHandler } from 'hono';
import type { ApiEnv } from '../context.ts';
import { pointerOf, Problem } from '../problem.ts';

const longestName = 60;

export function onlyKnownQuery(route: string, names: readonly string[]): MiddlewareHandler<ApiEnv> {
  const known = names.length === 0 ? `${route} takes no query parameters.` : `${route} takes ${names.join(', ')}.`;
  return async (c, next) => {
    const unknown = [...new URL(c.req.url).searchParams.keys()].filter((name) => !names.includes(name));
    if (unknown.length === 0) return next();
    const errors = [...new Set(unknown)].map((name) => ({ pointer: pointerOf('query', [name.slice(0, longestName)]), message: `There is no such parameter. ${known}` }));
    throw new Problem(400, `${errors.length === 1 ? 'A query parameter does' : `${errors.length} query parameters do`} not exist, so nothing was done. ${known}`, { errors });
  };
}
