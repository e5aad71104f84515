/**
 * Rendered images and thumbnails (PS3.18 10.4.1.1.3, 10.4.1.1.7): JPEG or PNG as a browser shows them.
 *
 *   frames/{list}/rendered    those frames         instance/rendered    its frames         series, study/rendered    the frames of all its images
 *   .../thumbnail             one small picture of what is in the middle
 *
 * One picture alone, or multipart/related where the client takes that; a client that takes one picture only gets the first frame of an instance.
 * Query parameters: window, viewport, quality (8.3.5.1). What a viewer may ask beyond that is ignored with a Warning.
 */
import type { Holdings, InstanceSelection, StoredInstance } from '#gateway/holdings.ts';
import { ImageError, type Images, type Picture, type PictureEncoding, type PictureWanted } from '#gateway/images.ts';
import { Refusal, tryAgain, warning } from './answer.ts';
import { accepts, parseAccept, rootType } from './media-type.ts';
import { multipartWriter } from './multipart-writer.ts';
import { retrieveUrl } from './qido-results.ts';
import type { ReadRequest } from './read-request.ts';
import { renderedQuery, type RenderedQuery } from './rendered-query.ts';
import { streamAnswer } from './stream-answer.ts';
import type { Rendered } from './resource.ts';

export interface RenderedFormat { readonly mediaType: 'image/jpeg' | 'image/png'; readonly isMultipart: boolean; readonly query: RenderedQuery; readonly frames: readonly number[] | 'all'; readonly isThumbnail: boolean }

const mediaTypes = ['image/jpeg', 'image/png'] as const;
const thumbnailPixels = 256;

/** What the client wants, before anything is read. Throws Refusal: 400, 406. */
export function renderedFormat(resource: Rendered, { request, url }: ReadRequest): RenderedFormat {
  const isThumbnail = resource.kind === 'thumbnail';
  const frames = resource.kind === 'frames' ? resource.frames : isThumbnail ? [1] : 'all';
  const query = renderedQuery(url.searchParams, isThumbnail);
  for (const range of parseAccept(request.headers.get('accept'))) {
    const isRelated = range.type === 'multipart/related' || range.type === 'multipart/*';
    const named = rootType(range);
    const mediaType = mediaTypes.find((type) => (isRelated ? named === '' || named === type || named === '*/*' || named === 'image/*' : accepts(range, type)));
    if (mediaType === undefined || (isRelated && isThumbnail)) continue;
    const isMultipart = isRelated || (range.type === '*/*' && !isThumbnail && (frames === 'all' ? resource.level !== 'instance' : frames.length > 1));
    if (!isMultipart && !isThumbnail && resource.level !== 'instance') continue;
    if (!isMultipart && frames !== 'all' && frames.length > 1) continue;
    return { mediaType, isMultipart, query, frames, isThumbnail };
  }
  const several = !isThumbnail && (resource.level !== 'instance' || (frames !== 'all' && frames.length > 1));
  throw new Refusal(406, several ? 'Several pictures are handed out as multipart/related; type="image/jpeg" or type="image/png"; Accept excludes it. One picture of a series or study is its thumbnail.'
    : `Pictures are image/jpeg or image/png${isThumbnail ? '' : ', also as parts of multipart/related'}; Accept excludes them.`);
}

/** Throws Refusal: 404, 406, 503. */
export async function answerRendered(holdings: Holdings, selection: InstanceSelection, first: StoredInstance, format: RenderedFormat, read: ReadRequest): Promise<Response> {
  const { images } = read.context;
  if (images === undefined) throw new Refusal(503, 'Nothing can be rendered here now. Try again.', tryAgain);
  if (format.isThumbnail) return alone(holdings, await thumbnail(images, holdings, selection, first, format, read), format, read);
  if (!format.isMultipart) return alone(holdings, await render(images, first, format.frames === 'all' ? 1 : format.frames[0]!, format, read), format, read);
  return parts(images, holdings, selection, format, read);
}

function alone(holdings: Holdings, picture: Picture, { mediaType, frames, isThumbnail, query }: RenderedFormat, read: ReadRequest): Response {
  const told = [...query.warnings, ...(frames === 'all' && picture.numberOfFrames > 1 && !isThumbnail ? [`This is frame 1 of ${picture.numberOfFrames}; ask for frames/n/rendered, or for multipart/related.`] : [])];
  return streamAnswer(200, { 'content-type': mediaType, 'content-length': String(picture.bytes.length), ...(told.length === 0 ? {} : warning(told.join(' '))) }, async function* (sent) {
    yield picture.bytes;
    sent.count += 1;
  }, holdings, read);
}

/** The first picture is made before the answer begins, so that what cannot be shown is told by a status; of a series or study, what shows nothing is passed over. */
async function parts(images: Images, holdings: Holdings, selection: InstanceSelection, format: RenderedFormat, read: ReadRequest): Promise<Response> {
  const pictures = picturesOf(images, holdings, selection, format, read);
  const first = await pictures.next();
  if (first.done === true) throw new Refusal(406, 'Nothing under this address can be shown as a picture.');
  const writer = multipartWriter(format.mediaType);
  const part = ({ picture, location }: Rendering): Buffer[] => [writer.head({ 'Content-Type': format.mediaType, 'Content-Location': location }), picture.bytes];
  return streamAnswer(200, { 'content-type': writer.contentType, ...(format.query.warnings.length === 0 ? {} : warning(format.query.warnings.join(' '))) }, async function* (sent) {
    yield* part(first.value);
    sent.count = 1;
    for await (const next of pictures) {
      yield* part(next);
      sent.count += 1;
    }
    yield writer.end();
  }, holdings, read);
}

interface Rendering { readonly picture: Picture; readonly location: string }

async function* picturesOf(images: Images, holdings: Holdings, selection: InstanceSelection, format: RenderedFormat, read: ReadRequest): AsyncGenerator<Rendering, undefined> {
  const isOne = selection.sopInstanceUid !== undefined;
  for await (const instance of holdings.instancesOf(selection)) {
    const frames = format.frames === 'all' ? undefined : format.frames;
    let count = frames?.length ?? 1;
    for (let index = 0; index < count; index += 1) {
      const frame = frames?.[index] ?? index + 1;
      try {
        const picture = await render(images, instance, frame, format, read);
        if (frames === undefined) count = picture.numberOfFrames;
        yield { picture, location: `${retrieveUrl(instance, read.base)}/frames/${frame}/rendered` };
      } catch (error) {
        if (isOne || !(error instanceof Refusal) || error.status === 503) throw error;
        break;
      }
    }
  }
  return undefined;
}

/** Of what is in the middle: the ends of a series show little. Objects that are no images are passed over. */
async function thumbnail(images: Images, holdings: Holdings, selection: InstanceSelection, first: StoredInstance, format: RenderedFormat, read: ReadRequest): Promise<Picture> {
  if (selection.sopInstanceUid !== undefined) return render(images, first, 1, format, read);
  const all: StoredInstance[] = [];
  for await (const instance of holdings.instancesOf(selection)) if (instance.seriesInstanceUid === first.seriesInstanceUid || all.length < mostTried) all.push(instance);
  const middle = Math.floor(all.length / 2);
  for (const instance of [...all.slice(middle), ...all.slice(0, middle)].slice(0, mostTried)) {
    try {
      return await render(images, instance, 1, format, read);
    } catch (error) {
      if (!(error instanceof Refusal) || error.status === 503) throw error;
    }
  }
  throw new Refusal(406, 'Nothing under this address can be shown as a picture.');
}
const mostTried = 20;

async function render(images: Images, instance: StoredInstance, frame: number, format: RenderedFormat, { request }: ReadRequest): Promise<Picture> {
  try {
    return await images.render(instance, wantedOf(frame, format), request.signal);
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    if (error.kind === 'no-frame') throw new Refusal(404, error.message);
    if (error.kind === 'unavailable') throw new Refusal(503, 'The picture could not be made now. Try again.', tryAgain);
    throw new Refusal(406, `This instance cannot be shown as a picture: ${error.message}`);
  }
}

function wantedOf(frame: number, { mediaType, query, isThumbnail }: RenderedFormat): PictureWanted {
  const encoding: PictureEncoding = mediaType === 'image/png' ? { type: mediaType } : { type: mediaType, quality: query.quality };
  return { frame, encoding, window: query.window, viewport: query.viewport ?? (isThumbnail ? { width: thumbnailPixels, height: thumbnailPixels } : undefined) };
}

