// Reductions over a row by one workgroup. Their order is fixed, so that equal rows give equal results.

const LANES = 64u;

// The rows of a workgroup: every one of so many.
fn first_row(group: u32, thread: u32) -> u32 {
    return group;
}

fn rows_on(groups: u32) -> u32 {
    return groups;
}

// Which of a row's threads.
fn lane_of(thread: u32) -> u32 {
    return thread;
}

var<workgroup> partial: array<f32, 64>;

// The largest of the row's inputs, NaN if any is; the same in every thread.
fn row_max(start: u32, lane: u32) -> f32 {
    // A lane beyond the row's end takes the last value again, which changes no maximum.
    var largest = input[start + min(lane, size.input_width - 1u)];
    for (var i = lane + LANES; i < size.input_width; i += LANES) {
        largest = larger(largest, input[start + i]);
    }
    partial[lane] = largest;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] = larger(partial[lane], partial[lane + half]);
        }
        workgroupBarrier();
    }
    return workgroupUniformLoad(&partial[0]);
}

// The sum of every thread's value; the same in every thread.
fn row_sum(value: f32, lane: u32) -> f32 {
    partial[lane] = value;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    return workgroupUniformLoad(&partial[0]);
}
