//! The largest value of each window, or the mean.

use super::reduce::Rows;
use crate::{
    Error, Result, Rowwise,
    format::onnx::{
        graph::Graph,
        value::{Outcome, Value},
    },
};

/// One spatial axis of a pooling.
struct Windows {
    kernel: usize,
    stride: usize,
    dilation: usize,
    /// Places before the axis and behind it.
    pads: [usize; 2],
}

/// `MaxPool` and `AveragePool`. The largest value of a box is that of the largest along each of its axes, and so with
/// the mean: one axis is pooled after the other, its windows gathered and each reduced.
pub(super) fn run(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let all = windows(graph, value)?;
    let (ceil, same) = (graph.flag("ceil_mode"), graph.text_or("auto_pad", "NOTSET"));
    let mean = graph.call.op == "AveragePool";
    // The order of the indices that the second output has, and what counts for a mean where there is padding.
    graph.int_attribute(if mean { "count_include_pad" } else { "storage_order" });
    let mut result = value;
    for (i, mut windows) in all.into_iter().enumerate() {
        let axis = graph.axis(result, i as i64 + 2)?;
        let length = graph.length(result, axis);
        match same {
            "NOTSET" => {}
            "VALID" => windows.pads = [0, 0],
            "SAME_UPPER" => graph.keep(windows.pad_same(length, false))?,
            "SAME_LOWER" => graph.keep(windows.pad_same(length, true))?,
            other => return Err(graph.unknown("auto_pad", other)),
        }
        if mean && (ceil || windows.pads != [0, 0]) {
            return Err(graph.unsupported("means of windows that reach beyond the tensor"));
        }
        let function = if mean { Rowwise::Mean } else { Rowwise::Max };
        result = pooled(graph, result, axis, &windows, ceil, function)?;
    }
    Ok(result)
}

/// Of each channel as a whole: `GlobalMaxPool` and `GlobalAveragePool`.
pub(super) fn global(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let function = if graph.call.op == "GlobalMaxPool" { Rowwise::Max } else { Rowwise::Mean };
    let mut axes = graph.all_axes(value);
    axes.retain(|&axis| axis >= 2);
    let axes = graph.axes(value, &axes)?;
    let rows = Rows::along(graph, value, &axes)?;
    let result = graph.rowwise(rows.value, function)?;
    rows.reduced(graph, result, true)
}

/// Kernel, strides, dilations and pads, axis by axis.
fn windows(graph: &mut Graph, value: Value) -> Outcome<Vec<Windows>> {
    let Some(kernel) = graph.int_list("kernel_shape") else {
        return Err(graph.fail(Error::format("the attribute 'kernel_shape' is missing")));
    };
    let axes = kernel.len();
    let kernel = sizes(graph, "kernel_shape", Some(kernel), axes, 1)?;
    let strides = sizes(graph, "strides", None, axes, 1)?;
    let dilations = sizes(graph, "dilations", None, axes, 1)?;
    let pads = sizes(graph, "pads", None, axes, 0)?;
    let rank = graph.rank(value);
    if rank != axes + 2 {
        return Err(graph.fail(Error::shape(format!("a kernel of {axes} axes for {rank} axes"))));
    }
    let at = |list: &[usize], i: usize| list.get(i).copied().unwrap_or(1);
    let windows = |i| Windows {
        kernel: at(&kernel, i),
        stride: at(&strides, i),
        dilation: at(&dilations, i),
        pads: [at(&pads, i), at(&pads, axes + i)],
    };
    Ok((0..axes).map(windows).collect())
}

/// A list for so many axes, of numbers that are at least so large, and so large where it is missing. Of pads there are
/// twice as many.
fn sizes(
    graph: &mut Graph,
    name: &str,
    list: Option<Vec<i64>>,
    axes: usize,
    least: usize,
) -> Outcome<Vec<usize>> {
    let count = if least == 0 { axes.saturating_mul(2) } else { axes };
    let Some(list) = list.or_else(|| graph.int_list(name)) else { return Ok(vec![least; count]) };
    let mut sizes = Vec::with_capacity(count);
    sizes.extend(list.iter().filter_map(|&size| usize::try_from(size).ok().filter(|&size| size >= least)));
    if sizes.len() != count || list.len() != count {
        let message = format!("the attribute '{name}' does not fit {axes} axes");
        return Err(graph.fail(Error::format(message)));
    }
    Ok(sizes)
}

impl Windows {
    /// From the first place of a window to its last one.
    fn reach(&self) -> Option<usize> {
        (self.kernel - 1).checked_mul(self.dilation)?.checked_add(1)
    }

    /// As many places as give a window for each stride.
    fn pad_same(&mut self, length: usize, more_before: bool) -> Result<()> {
        let reach = self.reach().ok_or_else(|| Error::shape("a window too wide"))?;
        let covered = (length.div_ceil(self.stride).saturating_sub(1)).saturating_mul(self.stride);
        let needed = covered.saturating_add(reach).saturating_sub(length);
        let (less, more) = (needed / 2, needed - needed / 2);
        self.pads = if more_before { [more, less] } else { [less, more] };
        Ok(())
    }

    /// How many there are, unless they are wider than the axis.
    fn count(&self, length: usize, ceil: bool) -> Option<usize> {
        let [before, behind] = self.pads;
        let padded = length.checked_add(before)?.checked_add(behind)?;
        let room = padded.checked_sub(self.reach()?)?;
        let count = if ceil { room.div_ceil(self.stride) } else { room / self.stride } + 1;
        // None begins in the places behind the axis.
        let last = (count - 1).saturating_mul(self.stride);
        Some(if ceil && last >= length.saturating_add(before) { count - 1 } else { count })
    }

    /// The positions of an axis that the windows hold. A place outside is one inside once more: the largest value stays
    /// the same.
    fn positions(&self, length: usize, count: usize) -> Result<Vec<usize>> {
        let mut positions = crate::tensor::reserve(count.saturating_mul(self.kernel))?;
        for window in 0..count {
            let start = window.saturating_mul(self.stride);
            let inside = |i: usize| {
                let place = start.saturating_add(i.saturating_mul(self.dilation));
                place.checked_sub(self.pads[0]).filter(|&place| place < length)
            };
            let first = (0..self.kernel).find_map(inside);
            let first = first.ok_or_else(|| Error::shape("a window of nothing but padding"))?;
            for i in 0..self.kernel {
                positions.push(inside(i).unwrap_or(first));
            }
        }
        Ok(positions)
    }
}

fn pooled(
    graph: &mut Graph,
    value: Value,
    axis: usize,
    windows: &Windows,
    ceil: bool,
    function: Rowwise,
) -> Outcome {
    let length = graph.length(value, axis);
    let Some(count) = windows.count(length, ceil) else {
        return Err(graph.fail(Error::shape(format!("a window wider than the axis of {length}"))));
    };
    if windows.kernel == 1 && windows.stride == 1 && windows.pads == [0, 0] {
        return Ok(value);
    }
    graph.spend(count.saturating_mul(windows.kernel))?;
    let positions = graph.keep(windows.positions(length, count))?;
    let gathered = graph.gather(value, axis, positions)?;
    let split = graph.with_axes(gathered, axis, &[count, windows.kernel])?;
    let last = graph.shape(split).len().saturating_sub(1);
    let rows = graph.move_axis(split, axis + 1, last)?;
    let reduced = graph.rowwise(rows, function)?;
    graph.without_last(reduced)
}
