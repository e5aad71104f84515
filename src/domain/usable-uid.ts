/** Names of DICOM studies, series and objects as they come, valid UIDs or not. */

/**
 * Senders make UIDs that PS3.5 9.1 does not allow: letters, leading zeros. They identify all the same, and are kept as they are. Not: what cannot stand in a
 * value (backslash, control characters), what a search takes for something else (* ?), what separates lists, paths and queries, or dots alone, which an address drops.
 */
export function isUsableUid(text: string): boolean {
  return /^(?=.*[A-Za-z0-9])[A-Za-z0-9._+:=@(){}[\]-]{1,64}$/.test(text);
}
/** The same in words, for those who are refused. */
export const usableUidWords = 'letters, digits and . _ - + : = @ ( ) [ ] { }, at most 64';
