//! The largest value of each window, or the mean.

use super::{Call, reduce::Rows};
use crate::{
    Error, Result, Rowwise,
    format::onnx::{graph::Graph, value::Value},
};

/// One spatial axis of a pooling.
struct Windows {
    kernel: usize,
    stride: usize,
    dilation: usize,
    /// Places before the axis and behind it.
    pads: (usize, usize),
}

/// `MaxPool` and `AveragePool`. The largest value of a box is that of the largest along each of its axes, and so with
/// the mean: one axis is pooled after the other, its windows gathered and each reduced.
pub(super) fn run(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let all = windows(call, graph, &value)?;
    let (ceil, same) = (call.attributes.flag("ceil_mode")?, call.attributes.text("auto_pad")?);
    let mean = call.op == "AveragePool";
    // The order of the indices that the second output has, and what counts for a mean where there is padding.
    call.attributes.int(if mean { "count_include_pad" } else { "storage_order" })?;
    let mut result = value;
    for (i, mut windows) in all.into_iter().enumerate() {
        let axis = graph.axis(&result, i as i64 + 2)?;
        let length = graph.shape(&result).get(axis).copied().unwrap_or(0);
        match same.as_deref() {
            None | Some("NOTSET") => {}
            Some("VALID") => windows.pads = (0, 0),
            Some("SAME_UPPER") => windows.pad_same(length, false)?,
            Some("SAME_LOWER") => windows.pad_same(length, true)?,
            Some(other) => return Err(Error::unsupported(format!("the attribute 'auto_pad' is '{other}'"))),
        }
        if mean && (ceil || windows.pads != (0, 0)) {
            return Err(Error::unsupported("means of windows that reach beyond the tensor"));
        }
        let function = if mean { Rowwise::Mean } else { Rowwise::Max };
        result = pooled(graph, &result, axis, &windows, ceil, function)?;
    }
    Ok(result)
}

/// Of each channel as a whole: `GlobalMaxPool` and `GlobalAveragePool`.
pub(super) fn global(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let function = if call.op == "GlobalMaxPool" { Rowwise::Max } else { Rowwise::Mean };
    let axes: Vec<usize> =
        (2..graph.rank(&value)).map(|axis| graph.axis(&value, axis as i64)).collect::<Result<_>>()?;
    let rows = Rows::along(graph, &value, &axes)?;
    let result = graph.rowwise(&rows.value, function)?;
    rows.reduced(graph, &result, true)
}

/// Kernel, strides, dilations and pads, axis by axis.
fn windows(call: &mut Call, graph: &Graph, value: &Value) -> Result<Vec<Windows>> {
    let kernel = call.attributes.ints("kernel_shape")?;
    let kernel = kernel.ok_or_else(|| Error::format("the attribute 'kernel_shape' is missing"))?;
    let axes = kernel.len();
    let mut list = |name: &str, count: usize, default: i64, least: i64| -> Result<Vec<usize>> {
        let list = if name == "kernel_shape" { Some(kernel.clone()) } else { call.attributes.ints(name)? };
        let list = list.unwrap_or_else(|| vec![default; count]);
        let sizes: Option<Vec<usize>> =
            list.iter().map(|&size| usize::try_from(size).ok().filter(|_| size >= least)).collect();
        let sizes = sizes.filter(|sizes| sizes.len() == count);
        sizes.ok_or_else(|| Error::format(format!("the attribute '{name}' does not fit {axes} axes")))
    };
    let kernel_sizes = list("kernel_shape", axes, 1, 1)?;
    let (strides, dilations) = (list("strides", axes, 1, 1)?, list("dilations", axes, 1, 1)?);
    let pads = list("pads", axes.saturating_mul(2), 0, 0)?;
    if graph.rank(value) != axes + 2 {
        return Err(Error::shape(format!("a kernel of {axes} axes for {} axes", graph.rank(value))));
    }
    let (before, behind) = pads.split_at_checked(axes).unwrap_or_default();
    let zipped = kernel_sizes.iter().zip(strides).zip(dilations).zip(before.iter().zip(behind));
    let one = |(((&kernel, stride), dilation), (&before, &behind))| Windows {
        kernel,
        stride,
        dilation,
        pads: (before, behind),
    };
    Ok(zipped.map(one).collect())
}

impl Windows {
    /// From the first place of a window to its last one.
    fn reach(&self) -> Result<usize> {
        let reach = (self.kernel - 1).checked_mul(self.dilation).and_then(|reach| reach.checked_add(1));
        reach.ok_or_else(|| Error::shape("a window too wide"))
    }

    /// As many places as give a window for each stride.
    fn pad_same(&mut self, length: usize, more_before: bool) -> Result<()> {
        let covered = (length.div_ceil(self.stride).saturating_sub(1)).saturating_mul(self.stride);
        let needed = covered.saturating_add(self.reach()?).saturating_sub(length);
        let (less, more) = (needed / 2, needed - needed / 2);
        self.pads = if more_before { (more, less) } else { (less, more) };
        Ok(())
    }

    /// How many there are.
    fn count(&self, length: usize, ceil: bool) -> Result<usize> {
        let (before, behind) = self.pads;
        let padded = length.checked_add(before).and_then(|padded| padded.checked_add(behind));
        let room = padded.and_then(|padded| padded.checked_sub(self.reach().ok()?));
        let room = room.ok_or_else(|| Error::shape(format!("a window wider than the axis of {length}")))?;
        let count = if ceil { room.div_ceil(self.stride) } else { room / self.stride } + 1;
        // None begins in the places behind the axis.
        let last = (count - 1).saturating_mul(self.stride);
        Ok(if ceil && last >= length.saturating_add(before) { count - 1 } else { count })
    }
}

fn pooled(
    graph: &mut Graph,
    value: &Value,
    axis: usize,
    windows: &Windows,
    ceil: bool,
    function: Rowwise,
) -> Result<Value> {
    let length = graph.shape(value).get(axis).copied().unwrap_or(0);
    let count = windows.count(length, ceil)?;
    if windows.kernel == 1 && windows.stride == 1 && windows.pads == (0, 0) {
        return Ok(value.clone());
    }
    graph.spend(count.saturating_mul(windows.kernel))?;
    let mut positions = crate::tensor::reserve(count.saturating_mul(windows.kernel))?;
    for window in 0..count {
        let start = window.saturating_mul(windows.stride);
        let places = (0..windows.kernel).map(|i| start.saturating_add(i.saturating_mul(windows.dilation)));
        let inside = |place: usize| place.checked_sub(windows.pads.0).filter(|&place| place < length);
        let first = places.clone().find_map(inside);
        let first = first.ok_or_else(|| Error::shape("a window of nothing but padding"))?;
        // A place outside is one inside once more: the largest value stays the same.
        positions.extend(places.map(|place| inside(place).unwrap_or(first)));
    }
    let gathered = graph.gather(value, axis, positions)?;
    let mut shape = graph.shape(&gathered).to_vec();
    if axis < shape.len() {
        shape.splice(axis..=axis, [count, windows.kernel]);
    }
    let split = graph.reshape(&gathered, &shape)?;
    let rows = graph.axis_last(&split, axis + 1)?;
    let reduced = graph.rowwise(&rows, function)?;
    shape.remove(axis + 1);
    graph.reshape(&reduced, &shape)
}
