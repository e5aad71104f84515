import type { MapSettings } from '#gateway/normalized.ts';

/** '$name' is the integration's setting of that name, undefined when it has none; '$$' at the start stands for one '$'. */
export function resolveSetting(value: unknown, settings: MapSettings): unknown {
  if (typeof value !== 'string' || !value.startsWith('$')) return value;
  if (value.startsWith('$$')) return value.slice(1);
  const name = value.slice(1);
  return Object.hasOwn(settings, name) ? settings[name] : undefined;
}
