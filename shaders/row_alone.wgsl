// Reductions over a row by one thread: for rows of a few values, and devices that pay dearly for barriers.

const LANES = 1u;

// The rows of a thread: every one of so many.
fn first_row(group: u32, thread: u32) -> u32 {
    return group * 64u + thread;
}

fn rows_on(groups: u32) -> u32 {
    return groups * 64u;
}

// Which of a row's threads.
fn lane_of(thread: u32) -> u32 {
    return 0u;
}

// The largest of the row's inputs, NaN if any is.
fn row_max(start: u32, lane: u32) -> f32 {
    var largest = input[start];
    for (var i = 1u; i < size.input_width; i++) {
        largest = larger(largest, input[start + i]);
    }
    return largest;
}

fn row_sum(value: f32, lane: u32) -> f32 {
    return value;
}
