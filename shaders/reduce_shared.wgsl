// What a row's threads found, joined into one. The order is fixed, so that equal rows give equal results.

var<workgroup> places: array<u32, 64>;

// The same in every thread.
fn join_lanes(own: Found, lane: u32) -> Found {
    partial[lane] = own.value;
    places[lane] = own.place;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            let other = lane + half;
            if FUNCTION == 5u && precedes(partial[other], places[other], partial[lane], places[lane]) {
                places[lane] = places[other];
            }
            partial[lane] = joined(partial[lane], partial[other]);
        }
        workgroupBarrier();
    }
    return Found(workgroupUniformLoad(&partial[0]), workgroupUniformLoad(&places[0]));
}
