import { expect, test } from 'vitest';
import { characterSetOf } from './character-set.ts';

/** PS3.5 prints bytes as column/row and hex; here: hex with blanks, or text in quotes for its ASCII parts. */
function bytesOf(...parts: readonly string[]): Buffer {
  return Buffer.concat(parts.map((part) => part.startsWith("'") ? Buffer.from(part.slice(1, -1), 'latin1') : Buffer.from(part.replaceAll(' ', ''), 'hex')));
}
const name = (terms: string | undefined, bytes: Buffer) => characterSetOf(terms).decode(bytes, { isPersonName: true });

const jis87 = '1b 24 42', ascii = '1b 28 42', jis201 = '1b 28 4a', ks1001 = '1b 24 29 43', gb2312 = '1b 24 29 41';

test('PS3.5 H.3.1: Japanese name with \\ISO 2022 IR 87', () => {
  expect(name('\\ISO 2022 IR 87', bytesOf("'Yamada^Tarou='", jis87, '3b 33 45 44', ascii, "'^'", jis87, '42 40 4f 3a', ascii, "'='",
    jis87, '24 64 24 5e 24 40', ascii, "'^'", jis87, '24 3f 24 6d 24 26', ascii))).toBe('Yamada^Tarou=山田^太郎=やまだ^たろう');
});
test('PS3.5 H.3.2: Japanese name with ISO 2022 IR 13\\ISO 2022 IR 87, half-width katakana first', () => {
  expect(name('ISO 2022 IR 13\\ISO 2022 IR 87', bytesOf('d4 cf c0 de 5e c0 db b3 3d', jis87, '3b 33 45 44', jis201, "'^'", jis87, '42 40 4f 3a', jis201, "'='",
    jis87, '24 64 24 5e 24 40', jis201, "'^'", jis87, '24 3f 24 6d 24 26', jis201))).toBe('ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう');
});
test('PS3.5 I.2: Korean name with \\ISO 2022 IR 149', () => {
  expect(name('\\ISO 2022 IR 149', bytesOf("'Hong^Gildong='", ks1001, 'fb f3 5e', ks1001, 'd1 ce d4 d7 3d', ks1001, 'c8 ab 5e', ks1001, 'b1 e6 b5 bf')))
    .toBe('Hong^Gildong=洪^吉洞=홍^길동');
});
test('PS3.5 I.3: Korean long text, the set named again on every line', () => {
  expect(characterSetOf('\\ISO 2022 IR 149').decode(bytesOf(ks1001, "'The 1st line includes '", 'b1 e6 b5 bf', "'.\r\n'", ks1001, "'The 2nd line includes '", 'fb f3', "', too.\r\nThe 3rd line.'"), { separatesValues: false }))
    .toBe('The 1st line includes 길동.\r\nThe 2nd line includes 洪, too.\r\nThe 3rd line.');
});
test('PS3.5 J.1: Chinese name in UTF-8, GB18030 and GBK', () => {
  expect(name('ISO_IR 192', bytesOf("'Wang^XiaoDong='", 'e7 8e 8b 5e e5 b0 8f e6 9d b1 3d'))).toBe('Wang^XiaoDong=王^小東=');
  expect(name('GB18030', bytesOf("'Wang^XiaoDong='", 'cd f5 5e d0 a1 b6 ab 3d'))).toBe('Wang^XiaoDong=王^小东=');
  expect(name('GBK', bytesOf("'Wang^XiaoDong='", 'cd f5 5e d0 a1 b6 ab 3d'))).toBe('Wang^XiaoDong=王^小东=');
});
test('PS3.5 K.2: Chinese name with \\ISO 2022 IR 58', () => {
  expect(name('\\ISO 2022 IR 58', bytesOf("'Zhang^XiaoDong='", gb2312, 'd5 c5 5e', gb2312, 'd0 a1 b6 ab 3d'))).toBe('Zhang^XiaoDong=张^小东=');
});
test('bytes of delimiters inside multi-byte characters do not split', () => {
  // 構 is 39 3d in JIS X 0208: its second byte is '='; 誚 in GB18030 ends in 5c, a backslash.
  expect(name('\\ISO 2022 IR 87', bytesOf("'A='", jis87, '39 3d', ascii))).toBe('A=構');
  expect(characterSetOf('GB18030').decode(bytesOf('d5 5c'))).toBe(new TextDecoder('gb18030').decode(Buffer.from('d55c', 'hex')));
  expect(characterSetOf('GB18030').decode(bytesOf('d5 5c'))).not.toContain('\\');
});

test.each([
  ['ISO_IR 100', 'c4 6e 65 61 73 5e 52 fc 64 69 67 65 72', 'Äneas^Rüdiger'],
  ['ISO_IR 101', '57 61 b3 ea 73 61', 'Wałęsa'],
  ['ISO_IR 109', 'a6 61 71 20 c6', 'Ĥaq Ĉ'],
  ['ISO_IR 110', '4c 69 e7 61', 'Liįa'],
  ['ISO_IR 144', 'bb ee da 63 65 dc d1 79 e0 d3', 'Люкceмбyрг'],
  ['ISO_IR 127', 'e2 c8 c7 e6 ea 5e e4 e6 d2 c7 d1', 'قباني^لنزار'],
  ['ISO_IR 126', 'c4 e9 ef ed f5 f3 e9 ef f2', 'Διονυσιος'],
  ['ISO_IR 138', 'f9 f8 e5 ef 5e e3 e1 e5 f8 e4', 'שרון^דבורה'],
  ['ISO_IR 148', 'c7 61 f0 6c 61 5e fe 69 fd', 'Çağla^şiı'],
  ['ISO_IR 203', 'a4 bd', '€œ'],
  ['ISO_IR 166', 'ca c1 aa d2 c2', 'สมชาย'],
  ['ISO_IR 13', 'd4 cf c0 de 5e c0 db b3', 'ﾔﾏﾀﾞ^ﾀﾛｳ'],
  ['ISO_IR 192', 'e4 b8 ad f0 9f 99 82', '中🙂'],
])('%s as a single set', (term, hex, expected) => {
  expect(name(term, bytesOf(hex))).toBe(expected);
});

test('single-byte sets switch by escape sequence and return before delimiters', () => {
  const terms = 'ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 126';
  expect(name(terms, bytesOf("'Buc^J'", 'e9', "'r'", 'f4', "'me='", '1b 2d 4c', 'bb ee da', "'='", '1b 2d 46', 'c4 e9'))).toBe('Buc^Jérôme=Люк=Δι');
  // After the delimiter the first value's set holds again: the same byte E9 is Latin-1 once more.
  expect(name(terms, bytesOf('1b 2d 46', 'e9', "'^'", 'e9'))).toBe('ι^é');
  expect(characterSetOf(terms).decode(bytesOf('1b 2d 46', 'e9', "'\\'", 'e9'))).toBe('ι\\é');
});
test('every escape sequence of PS3.3 tables C.12-3 and C.12-4 is known', () => {
  const decode = (hex: string) => characterSetOf('ISO 2022 IR 6\\ISO 2022 IR 100').decode(bytesOf(hex));
  expect(['2d41 e9', '2d42 b3', '2d43 c6', '2d44 e7', '2d4c ee', '2d47 e2', '2d46 e9', '2d48 f9', '2d4d fe', '2d62 a4', '2d54 ca', '2949 d4', '284a 5c', '242844 30 21', '242943 fb f3', '242941 d5 c5']
    .map((hex) => decode(`1b${hex}`))).toEqual(['é', 'ł', 'Ĉ', 'į', 'ю', 'ق', 'ι', 'ש', 'ş', '€', 'ส', 'ﾔ', '\\', '丂', '洪', '张']);
});
test('JIS X 0208 signs are those of the standard, not of Windows', () => {
  expect(characterSetOf('\\ISO 2022 IR 87').decode(bytesOf(jis87, '21 41 21 42 21 5d 21 71 21 72 22 4c', ascii))).toBe('〜‖−¢£¬');
});
test('a yen sign in a text of one value, a delimiter between values', () => {
  expect(characterSetOf('ISO_IR 13').decode(bytesOf('d4 5c d4'))).toBe('ﾔ\\ﾔ');
  expect(characterSetOf('ISO_IR 13').decode(bytesOf('d4 5c d4'), { separatesValues: false })).toBe('ﾔ¥ﾔ');
});

test('tolerances: unnamed UTF-8 and Latin-1, misspelt terms, sets without 2022, a set not named again after ^', () => {
  expect(name(undefined, Buffer.from('Müller', 'utf8'))).toBe('Müller');
  expect(name(undefined, Buffer.from('Müller', 'latin1'))).toBe('Müller');
  expect(name('ISO-IR 144', bytesOf('bb'))).toBe('Л');
  expect(characterSetOf('ISO-IR 144').warnings).toHaveLength(1);
  expect(characterSetOf('ISO_IR 100').warnings).toHaveLength(0);
  expect(name('ISO_IR 100\\ISO_IR 144', bytesOf('1b 2d 4c', 'bb'))).toBe('Л');
  expect(name('\\ISO 2022 IR 149', bytesOf(ks1001, 'c8 ab 5e', 'b1 e6 b5 bf'))).toBe('홍^길동');
  expect(name('ISO 2022 IR 149', bytesOf('c8 ab 5e', 'b1 e6'))).toBe('홍^길');
  expect(name('KLINGON', Buffer.from('Müller', 'latin1'))).toBe('Müller');
});
test('bytes without meaning become U+FFFD and nothing is lost around them', () => {
  expect(name('ISO_IR 192', bytesOf("'A'", 'ff', "'B'"))).toBe('A\ufffdB');
  expect(name('\\ISO 2022 IR 87', bytesOf("'A'", '1b 7a', "'B'", jis87, '3b'))).toMatch(/^A\ufffdzB/);
});
