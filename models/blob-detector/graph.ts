/**
 * The reference model's graph: a multi-scale detector of bright round things in a volume. NOT FOR CLINICAL USE.
 *
 *   volume (1 mm grid) -> Gaussians of growing sigma -> Hessian H (3x3x3 differences) -> det(-H) where -H is positive definite
 *                      -> maximum over the scales -> 3x3x3 peaks -> the best CANDIDATES, with scale and roundness
 *
 * A ball curves down in all three directions, a vessel in two, a wall in one: the determinant is large for the first alone, whatever the
 * direction (oblique vessels included). Scaling H by sigma squared makes responses of all scales comparable (Lindeberg 1998).
 * Peaks that are not round are left out before the candidates are chosen. Two levels: `fine` on the input grid, `coarse` on a grid of half the resolution for the large scales. No weight was learned.
 */
import { FLOAT, INT64, OnnxGraph, type ValueInfo } from '../onnx-protobuf.ts';

export const MODEL_NAME = 'medscan-blob-detector';
export const MODEL_VERSION = '1.0.0';
export const NOTICE = 'NOT FOR CLINICAL USE. Demonstration model: finds bright round structures by plain image operations; validated on synthetic phantoms only.';
export const CANDIDATES = 256;
/** Peaks below this roundness are vessels for the most part; they would crowd small nodules out of the list of candidates. */
const ROUND_ENOUGH = 0.5;
/** Edge of the input grid's cubes the scales below are meant for. */
export const SPACING_MILLIMETRES = 1.5;
/** Sigma of each level's Gaussians in voxels of that level. */
export const LEVELS = [
  { name: 'fine', stride: 1, sigmas: [0.9, 1.4, 2.0] },
  { name: 'coarse', stride: 2, sigmas: [1.4, 2.0, 2.8] },
] as const;

export function buildBlobDetector(): Buffer {
  const graph = new OnnxGraph();
  const fine = level(graph, 'fine', 'volume', 0, LEVELS[0].sigmas);
  // What the fine level smoothed last, halved; a mean over two voxels adds a variance of 1/4 voxel squared.
  const halved = graph.apply('AveragePool', [fine.smoothest], { kernel_shape: [2, 2, 2], strides: [2, 2, 2] });
  const presmoothed = Math.sqrt((LEVELS[0].sigmas[2] ** 2 + 0.25) / 4);
  const coarse = level(graph, 'coarse', halved, presmoothed, LEVELS[1].sigmas);
  return graph.model(
    { name: MODEL_NAME, producer: 'medscan-gateway models/blob-detector/build.ts', version: MODEL_VERSION, text: NOTICE, metadata: { notice: NOTICE, version: MODEL_VERSION, licence: 'Apache-2.0', spacing_millimetres: String(SPACING_MILLIMETRES) } },
    [{ name: 'volume', elementType: FLOAT, shape: [{ value: 1 }, { value: 1 }, { name: 'planes' }, { name: 'rows' }, { name: 'columns' }], text: 'Hounsfield units + 1000, cubes of 1.5 mm' }],
    [...fine.outputs, ...coarse.outputs],
  );
}

interface Level { readonly smoothest: string; readonly outputs: readonly ValueInfo[] }

function level(graph: OnnxGraph, name: string, source: string, sourceSigma: number, sigmas: readonly number[]): Level {
  let smoothed = source;
  let reached = sourceSigma;
  const curvatures: Curvature[] = [];
  for (const sigma of sigmas) {
    smoothed = gaussian(graph, smoothed, Math.sqrt(sigma ** 2 - reached ** 2));
    reached = sigma;
    curvatures.push(curvature(graph, smoothed, sigma));
  }
  return { smoothest: smoothed, outputs: candidates(graph, name, curvatures) };
}

/** Three one-dimensional convolutions; zero outside, which is air on the input's scale. */
function gaussian(graph: OnnxGraph, source: string, sigma: number): string {
  const reach = Math.ceil(3 * sigma);
  const weights = Array.from({ length: 2 * reach + 1 }, (_, index) => Math.exp(-((index - reach) ** 2) / (2 * sigma ** 2)));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const length = weights.length;
  let image = source;
  for (const axis of [0, 1, 2]) {
    const shape = [0, 1, 2].map((each) => (each === axis ? length : 1));
    const pads = [0, 1, 2].map((each) => (each === axis ? reach : 0));
    image = graph.apply('Conv', [image, graph.float(weights.map((weight) => weight / sum), [1, 1, ...shape])], { kernel_shape: shape, pads: [...pads, ...pads] });
  }
  return image;
}

interface Curvature { readonly determinant: string; readonly round: string; readonly trace: string }

/**
 * Determinant of M = -sigma^2 H where M is positive definite (Sylvester: all leading minors positive), else 0; the same where it is also round enough
 * (determinant against the cube of the mean curvature, 1 for a ball), else 0; and M's trace.
 */
function curvature(graph: OnnxGraph, smoothed: string, sigma: number): Curvature {
  const convolved = graph.apply('Conv', [smoothed, graph.float(hessianKernels(sigma ** 2), [6, 1, 3, 3, 3])], { kernel_shape: [3, 3, 3], pads: [1, 1, 1, 1, 1, 1] });
  const [zz, yy, xx, zy, zx, yx] = graph.node('Split', [convolved], { axis: 1 }, 6) as [string, string, string, string, string, string];
  const multiply = (a: string, b: string): string => graph.apply('Mul', [a, b]);
  const subtract = (a: string, b: string): string => graph.apply('Sub', [a, b]);
  const minor = subtract(multiply(zz, yy), multiply(zy, zy));
  const determinant = graph.apply('Add', [
    subtract(multiply(zz, subtract(multiply(yy, xx), multiply(yx, yx))), multiply(zy, subtract(multiply(zy, xx), multiply(yx, zx)))),
    multiply(zx, subtract(multiply(zy, yx), multiply(yy, zx))),
  ]);
  const zero = graph.float([0], []);
  const positive = graph.apply('And', [graph.apply('Greater', [zz, zero]), graph.apply('Greater', [minor, zero])]);
  const kept = graph.apply('Where', [positive, graph.apply('Relu', [determinant]), zero]);
  const trace = graph.apply('Add', [graph.apply('Add', [zz, yy]), xx]);
  const least = multiply(graph.float([ROUND_ENOUGH / 27], []), multiply(trace, multiply(trace, trace)));
  return { determinant: kept, round: graph.apply('Where', [graph.apply('Greater', [kept, least]), kept, zero]), trace };
}

/** Second differences zz, yy, xx and mixed differences zy, zx, yx, negated and scaled. */
function hessianKernels(scale: number): number[] {
  const weights = new Array<number>(6 * 27).fill(0);
  const put = (channel: number, z: number, y: number, x: number, weight: number): void => {
    const at = channel * 27 + (z + 1) * 9 + (y + 1) * 3 + x + 1;
    weights[at] = weights[at]! - weight * scale;
  };
  const axes = [[1, 0, 0], [0, 1, 0], [0, 0, 1]] as const;
  axes.forEach(([z, y, x], channel) => {
    put(channel, z, y, x, 1);
    put(channel, -z, -y, -x, 1);
    put(channel, 0, 0, 0, -2);
  });
  const pairs = [[axes[0], axes[1]], [axes[0], axes[2]], [axes[1], axes[2]]] as const;
  pairs.forEach(([a, b], index) => {
    for (const one of [1, -1]) for (const other of [1, -1]) put(3 + index, one * a[0] + other * b[0], one * a[1] + other * b[1], one * a[2] + other * b[2], (one * other) / 4);
  });
  return weights;
}

/** The strongest peaks of the maximum over the scales: score in Hounsfield units, flat index, number of the scale, roundness 0..1. */
function candidates(graph: OnnxGraph, name: string, curvatures: readonly Curvature[]): ValueInfo[] {
  const responses = graph.apply('Concat', curvatures.map((each) => each.determinant), { axis: 1 });
  const strongest = graph.apply('ReduceMax', [responses], { axes: [1], keepdims: 1 });
  const neighbourhood = graph.apply('MaxPool', [strongest], { kernel_shape: [3, 3, 3], pads: [1, 1, 1, 1, 1, 1], strides: [1, 1, 1] });
  const strongestRound = graph.apply('ReduceMax', [graph.apply('Concat', curvatures.map((each) => each.round), { axis: 1 })], { axes: [1], keepdims: 1 });
  const isPeak = graph.apply('And', [graph.apply('Equal', [strongest, neighbourhood]), graph.apply('Equal', [strongest, strongestRound])]);
  const peaks = graph.apply('Where', [isPeak, strongest, graph.float([0], [])]);
  const [best] = graph.node('TopK', [graph.apply('Reshape', [peaks, graph.int([-1])]), graph.int([CANDIDATES])], { axis: 0 }, ['', `${name}_index`].map((each) => each || `${name}_determinant`));
  const rows = graph.int([curvatures.length, -1]);
  const at = (map: string): string => graph.apply('Gather', [graph.apply('Reshape', [map, rows]), `${name}_index`], { axis: 1 });
  const [scale] = graph.node('ArgMax', [at(responses)], { axis: 0, keepdims: 1 }, [`${name}_scale`]);
  const traces = at(graph.apply('Concat', curvatures.map((each) => each.trace), { axis: 1 }));
  const meanCurvature = graph.apply('Div', [graph.apply('GatherElements', [traces, scale!], { axis: 0 }), graph.float([3], [])]);
  const cube = graph.apply('Pow', [meanCurvature, graph.float([3], [])]);
  graph.node('Div', [best!, graph.apply('Add', [cube, graph.float([1e-6], [])])], {}, [`${name}_roundness`]);
  graph.node('Pow', [best!, graph.float([1 / 3], [])], {}, [`${name}_score`]);
  const count = { value: CANDIDATES };
  return [
    { name: `${name}_score`, elementType: FLOAT, shape: [count] },
    { name: `${name}_index`, elementType: INT64, shape: [count] },
    { name: `${name}_scale`, elementType: INT64, shape: [{ value: 1 }, count] },
    { name: `${name}_roundness`, elementType: FLOAT, shape: [{ value: 1 }, count] },
  ];
}
