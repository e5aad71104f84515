/** Person names (PN, PS3.5 6.2.1): up to three groups joined by '=', each of up to five components joined by '^'. */
export interface PersonNameGroup {
  readonly family: string; readonly given: string; readonly middle: string; readonly prefix: string; readonly suffix: string;
}
export interface PersonName {
  /** The group in single-byte characters, or the only one. */
  readonly alphabetic: PersonNameGroup;
  /** Whole groups, components joined by '^', trailing '^' removed; '' when absent. */
  readonly ideographic: string;
  readonly phonetic: string;
}

/** Takes one decoded value. Missing groups and components are ''. */
export function parsePersonName(text: string): PersonName {
  const [alphabetic = '', ideographic = '', phonetic = ''] = text.split('=');
  return { alphabetic: parseGroup(alphabetic), ideographic: wholeGroup(ideographic), phonetic: wholeGroup(phonetic) };
}

export function parseGroup(group: string): PersonNameGroup {
  const [family = '', given = '', middle = '', prefix = '', suffix = ''] = group.split('^').map((component) => component.trim());
  return { family, given, middle, prefix, suffix };
}

/** A group as it stands, padding and trailing delimiters off. */
export function wholeGroup(group: string): string {
  return group.trim().replace(/[\^ ]+$/, '');
}

/** The PN value for its parts; '' when there are none. Delimiters inside a part would change its meaning and become blanks. */
export function formatPersonName(name: { readonly [K in keyof PersonNameGroup]?: string | undefined } & { readonly ideographic?: string | undefined; readonly phonetic?: string | undefined }): string {
  const clean = (part: string | undefined, delimiters: RegExp) => (part ?? '').replaceAll(delimiters, ' ').trim();
  const components = [name.family, name.given, name.middle, name.prefix, name.suffix].map((part) => clean(part, /[\\^=\p{Cc}]/gu));
  const groups = [wholeGroup(components.join('^')), ...[name.ideographic, name.phonetic].map((group) => wholeGroup(clean(group, /[\\=\p{Cc}]/gu)))];
  return groups.join('=').replace(/=+$/, '');
}
