// output = activation(input · kernel + bias), for many rows, on devices that pay dearly for shared memory and barriers.
//
// A thread computes 4 rows × 4 units straight from memory. Its units lie THREADS apart, so that neighbouring threads read
// neighbouring weights, and the same inputs. Written out, because such devices do not unroll loops.

const THREADS = 32u;

fn weights_at(start: u32, units: vec4<u32>) -> vec4<f32> {
    return vec4(weight(start + units.x), weight(start + units.y), weight(start + units.z), weight(start + units.w));
}

fn write(row: u32, units: vec4<u32>, products: vec4<f32>) {
    if row >= size.rows {
        return;
    }
    for (var u = 0u; u < 4u; u++) {
        if units[u] < size.output_width {
            output[row * size.output_width + units[u]] = finish(products[u], units[u]);
        }
    }
}

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let width = (size.output_width + 3u) / 4u * 4u;
    let units = vec4(tile.x * 4u * THREADS + lane) + vec4(0u, THREADS, 2u * THREADS, 3u * THREADS);
    // What lies outside the matrices repeats their last row or unit, and is not written.
    let read_units = min(units, vec4(width - 1u));
    let row = tile.y * 4u;
    let rows = min(vec4(row) + vec4(0u, 1u, 2u, 3u), vec4(size.rows - 1u));
    var a = vec4<f32>();
    var b = vec4<f32>();
    var c = vec4<f32>();
    var d = vec4<f32>();
    var i = 0u;
    for (; i + 4u <= size.input_width; i += 4u) {
        let p = four_inputs(rows.x, i);
        let q = four_inputs(rows.y, i);
        let r = four_inputs(rows.z, i);
        let s = four_inputs(rows.w, i);
        let w0 = weights_at(i * width, read_units);
        let w1 = weights_at(i * width + width, read_units);
        let w2 = weights_at(i * width + 2u * width, read_units);
        let w3 = weights_at(i * width + 3u * width, read_units);
        a += p.x * w0;
        a += p.y * w1;
        a += p.z * w2;
        a += p.w * w3;
        b += q.x * w0;
        b += q.y * w1;
        b += q.z * w2;
        b += q.w * w3;
        c += r.x * w0;
        c += r.y * w1;
        c += r.z * w2;
        c += r.w * w3;
        d += s.x * w0;
        d += s.y * w1;
        d += s.z * w2;
        d += s.w * w3;
    }
    for (; i < size.input_width; i++) {
        let w = weights_at(i * width, read_units);
        let starts = rows * size.input_width + i;
        a += one_input(starts.x) * w;
        b += one_input(starts.y) * w;
        c += one_input(starts.z) * w;
        d += one_input(starts.w) * w;
    }
    write(row, units, a);
    write(row + 1u, units, b);
    write(row + 2u, units, c);
    write(row + 3u, units, d);
}
