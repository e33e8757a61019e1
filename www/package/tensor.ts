import { NearsideError } from './errors.js';

/** Nested arrays, one level for each axis. */
export type NestedArray = number | NestedArray[];

/** Row-major values and their shape. */
export class Tensor {
  readonly data: Float32Array;
  readonly shape: number[];
  /** For class labels: the class that each value is the index of. */
  readonly labels?: string[];

  /** @throws `shape` when `data` does not hold exactly the shape's number of elements. */
  constructor(data: Float32Array, shape: number[], classes?: string[]) {
    const expected = shape.reduce((product, axis) => product * axis, 1);
    if (data.length !== expected) {
      throw new NearsideError('shape', `shape [${shape}] needs ${expected} values, ${data.length} given`);
    }
    this.data = data;
    this.shape = shape;
    if (classes) this.labels = Array.from(data, (index) => classes[index] ?? '');
  }

  /** For each row of the last axis, the index of its largest value: the predicted class. */
  argMax(): number[] {
    const width = this.shape.at(-1) ?? 1;
    return Array.from({ length: this.data.length / width }, (_, row) => {
      const values = this.data.subarray(row * width, (row + 1) * width);
      return values.indexOf(values.reduce((a, b) => Math.max(a, b), -Infinity));
    });
  }

  /** The values as nested arrays. */
  toArray(): NestedArray {
    const nest = (axis: number, start: number, size: number): NestedArray => {
      if (axis === this.shape.length) return this.data[start]!;
      const length = this.shape[axis]!;
      const step = size / length;
      return Array.from({ length }, (_, i) => nest(axis + 1, start + i * step, step));
    };
    return nest(0, 0, this.data.length);
  }
}
