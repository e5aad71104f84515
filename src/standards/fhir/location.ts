/** Where in a resource: once for FHIRPath readers, once as JSON Pointer (RFC 6901). */
export type Step = string | number;

/** `Patient.name[0].family` */
export function expressionOf(resourceType: string, steps: readonly Step[]): string {
  return steps.reduce<string>((text, step) => typeof step === 'number' ? `${text}[${step}]` : `${text}.${step}`, resourceType);
}
/** `/name/0/family`; '' is the whole resource. */
export function pointerOf(steps: readonly Step[]): string {
  return steps.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
