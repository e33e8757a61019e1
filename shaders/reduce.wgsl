// One value of each row.

// Numbered in src/program/lower.rs.
override FUNCTION: u32 = 0u;

struct Found {
    value: f32,
    // Of arg_max.
    place: u32,
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let width = size.input_width;
    let lane = lane_of(thread);
    for (var row = first_row(group.x, thread); row < size.rows; row += rows_on(groups.x)) {
        let start = row * width;
        // A lane beyond the row's end holds what changes no result.
        var value = select(0.0, 1.0, FUNCTION == 4u);
        var place = min(lane, width - 1u);
        if FUNCTION == 2u || FUNCTION == 3u || FUNCTION == 5u {
            value = input[start + place];
        } else if lane < width {
            value = input[start + lane];
        }
        for (var i = lane + LANES; i < width; i += LANES) {
            let x = input[start + i];
            if FUNCTION == 5u && precedes(x, i, value, place) {
                place = i;
            }
            value = joined(value, x);
        }
        let found = join_lanes(Found(value, place), lane);
        if lane == 0u {
            output[row] = finished(found.value, found.place);
        }
    }
}

fn joined(a: f32, b: f32) -> f32 {
    switch FUNCTION {
        case 2u, 5u { return larger(a, b); } // max, arg_max
        case 3u { return select(b, a, is_nan(a) || (!is_nan(b) && a <= b)); } // min
        case 4u { return a * b; } // product
        default { return a + b; } // sum, mean
    }
}

// Whether x is the one to name rather than y: the larger, of equal ones the first, and NaN above all.
fn precedes(x: f32, x_place: u32, y: f32, y_place: u32) -> bool {
    let x_first = x_place < y_place;
    if is_nan(x) || is_nan(y) {
        return is_nan(x) && (!is_nan(y) || x_first);
    }
    return x > y || (x == y && x_first);
}

fn finished(value: f32, place: u32) -> f32 {
    switch FUNCTION {
        case 1u { return value / f32(size.input_width); } // mean
        case 5u { return f32(place); } // arg_max
        default { return value; }
    }
}
