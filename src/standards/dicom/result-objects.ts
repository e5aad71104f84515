/**
 * The objects by which one report goes to a PACS: structured report, pictures of the findings, report as PDF. One after the other, so that no more
 * than one picture is in memory; the same delivery gives the same objects.
 */
import type { ReportDocument } from '#domain/report-document.ts';
import type { Images, Picture } from '#gateway/images.ts';
import type { StoredInstance } from '#gateway/holdings.ts';
import { buildEncapsulatedPdf } from './encapsulated-pdf.ts';
import type { ResultKind, ResultObject, ResultOptions } from './result-modules.ts';
import { buildSecondaryCapture, keyImages } from './secondary-capture.ts';
import { buildMeasurementReport } from './sr-tid1500.ts';
import { transferSyntaxOf } from './transfer-syntaxes.ts';

export interface PictureSource {
  readonly image?: ((sopInstanceUid: string) => Promise<StoredInstance | undefined>) | undefined;
  readonly images?: Images | undefined;
  readonly signal?: AbortSignal;
}
export interface MadeResult extends ResultObject { readonly kind: ResultKind }

/** Pictures of images that are not stored (any more), or hold nothing to show, are left out. Throws ImageError 'unavailable' when one cannot be made now. */
export async function* resultObjects(document: ReportDocument, kinds: readonly ResultKind[], options: ResultOptions, source: PictureSource): AsyncGenerator<MadeResult> {
  if (kinds.includes('structured-report')) yield { kind: 'structured-report', ...buildMeasurementReport(document, options) };
  if (kinds.includes('encapsulated-pdf')) {
    // Loaded with the first one: most integrations want none.
    const { renderReportPdf, reportTitle } = await import('../pdf/report-pdf.ts');
    yield { kind: 'encapsulated-pdf', ...buildEncapsulatedPdf(document, reportTitle(document), await renderReportPdf(document, { timeZone: options.timeZone }), options) };
  }
  if (!kinds.includes('secondary-capture')) return;
  for (const [index, keyImage] of keyImages(document).entries()) {
    const instance = await source.image?.(keyImage.location.sopInstanceUid);
    const picture = instance && await pictureOf(instance, keyImage.wanted, source);
    if (picture) yield { kind: 'secondary-capture', ...buildSecondaryCapture(document, keyImage, index, picture, { ...options, isLossy: transferSyntaxOf(instance.transferSyntaxUid).lossy }) };
  }
}

async function pictureOf(instance: StoredInstance, wanted: Parameters<Images['render']>[1], { images, signal }: PictureSource): Promise<Picture | undefined> {
  try {
    return await images?.render(instance, wanted, signal);
  } catch (error) {
    if ((error as { kind?: unknown }).kind === 'unavailable') throw error;
    return undefined;
  }
}
