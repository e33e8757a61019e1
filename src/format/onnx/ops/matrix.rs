//! Products of matrices.

use super::Call;
use crate::{
    Activation, Binary, Error, LayerKind, Result, Tensor,
    format::onnx::{
        graph::{Graph, across_batch},
        value::{Batch, Source, Value},
    },
    layer::broadcast,
    tensor::element_count,
};

/// `x · kernel + bias` over the last axis of the sample.
pub(super) fn dense(graph: &mut Graph, x: &Value, kernel: &Value, bias: Option<Tensor>) -> Result<Value> {
    graph.axis(x, -1)?;
    let kernel = kernel.tensor("the kernel")?;
    graph.apply(LayerKind::Dense { kernel, bias, activation: Activation::LINEAR }, x)
}

fn transposed(graph: &mut Graph, value: &Value) -> Result<Value> {
    let rank = graph.shape(value).len();
    let mut axes: Vec<usize> = (0..rank).collect();
    if let [.., a, b] = axes.as_mut_slice() {
        std::mem::swap(a, b);
    }
    graph.permute(value, &axes)
}

/// `alpha · A · B + beta · C`, A and B transposed or not.
pub(super) fn gemm(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let (mut a, mut b, c) = (call.input(0)?, call.input(1)?, call.optional(2));
    let (alpha, beta) = (call.attributes.float("alpha", 1.0)?, call.attributes.float("beta", 1.0)?);
    let (turns_a, turns_b) = (call.attributes.flag("transA")?, call.attributes.flag("transB")?);
    if graph.rank(&a) != 2 || graph.rank(&b) != 2 {
        return Err(Error::shape("matrices are needed"));
    }
    // Transposed, the batch axis would be the one that is summed over.
    if (turns_a && a.batch != Batch::None) || b.batch != Batch::None {
        return Err(across_batch());
    }
    if turns_a {
        a = transposed(graph, &a)?;
    }
    if turns_b {
        b = transposed(graph, &b)?;
    }
    let c = c.map(|c| graph.rescaled(&c, beta, 0.0)).transpose()?;
    if a.known().is_none() && b.known().is_some() {
        let kernel = graph.rescaled(&b, alpha, 0.0)?;
        let units = graph.shape(&kernel).last().copied().unwrap_or(0);
        // A row of C is a bias; a whole matrix is added.
        let row = c.as_ref().filter(|c| c.known().is_some_and(|c| is_row(&c.shape, units)));
        if let Some(row) = row {
            let row = match graph.shape(row) {
                [_, last] => {
                    let last = *last;
                    graph.reshape(row, &[last])?
                }
                _ => row.clone(),
            };
            let bias = graph.expand(&row, &[units])?.tensor("the bias")?;
            return dense(graph, &a, &kernel, Some(bias));
        }
        let product = dense(graph, &a, &kernel, None)?;
        return c.map_or(Ok(product.clone()), |c| graph.binary(Binary::Add, &product, &c));
    }
    let product = multiplied(graph, &a, &b)?;
    let product = graph.rescaled(&product, alpha, 0.0)?;
    c.map_or(Ok(product.clone()), |c| graph.binary(Binary::Add, &product, &c))
}

fn is_row(shape: &[usize], units: usize) -> bool {
    matches!(*shape, [] | [1] | [1, 1]) || matches!(*shape, [width] | [1, width] if width == units)
}

pub(super) fn matmul(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    multiplied(graph, &a, &b)
}

/// NumPy's product: of matrices in the last two axes, vectors taken for a row on the left and a column on the right.
fn multiplied(graph: &mut Graph, a: &Value, b: &Value) -> Result<Value> {
    let (left, right) = (graph.rank(a), graph.rank(b));
    if left == 0 || right == 0 {
        return Err(Error::shape("a product of matrices of which one is a number"));
    }
    if b.known().is_some() && a.known().is_none() {
        let shape = graph.shape(b).to_vec();
        match shape.as_slice() {
            [_, _] => return dense(graph, a, b, None),
            [width] => {
                let column = graph.reshape(b, &[*width, 1])?;
                let product = dense(graph, a, &column, None)?;
                return without_last(graph, &product);
            }
            [front @ .., k, n] if front.len() + 2 <= left && front.iter().all(|&length| length == 1) => {
                let matrix = graph.reshape(b, &[*k, *n])?;
                return dense(graph, a, &matrix, None);
            }
            _ => {}
        }
    }
    // The batch axis may be in front of matrices, of one side or both; or the left side's rows are samples.
    let row_left = left == 1 || (left == 2 && a.batch == Batch::First);
    let fits = match (a.batch, b.batch) {
        (Batch::None, Batch::None) => true,
        (Batch::First, Batch::None) => right <= 2 || (left > 2 && right <= left),
        (Batch::None, Batch::First) => right > 2 && left <= right,
        (Batch::First, Batch::First) => left == right && left > 2,
        _ => false,
    };
    if !fits {
        return Err(across_batch());
    }
    // Of equal rank, the other side has an axis of length 1 where the batch is.
    let both = if left == right && left > 2 { graph.aligned(&[a.clone(), b.clone()])? } else { vec![] };
    let (mut x, mut y) = match both.as_slice() {
        [x, y] => (x.clone(), y.clone()),
        _ => (a.clone(), b.clone()),
    };
    let shape = |graph: &Graph, value: &Value| graph.shape(value).to_vec();
    if row_left {
        let row = [&[1][..], &shape(graph, &x)].concat();
        x = graph.reshape(&x, &row)?;
    }
    if right == 1 {
        let column = [&shape(graph, &y)[..], &[1]].concat();
        y = graph.reshape(&y, &column)?;
    }
    let mut product = of_matrices(graph, &x, &y)?;
    product.batch = if a.batch == Batch::None { b.batch } else { a.batch };
    product.kind = a.kind;
    if right == 1 {
        product = without_last(graph, &product)?;
    }
    if row_left {
        let mut kept = shape(graph, &product);
        let row = kept.len().saturating_sub(if right == 1 { 1 } else { 2 });
        kept.remove(row);
        product = graph.reshape(&product, &kept)?;
    }
    Ok(product)
}

fn without_last(graph: &mut Graph, value: &Value) -> Result<Value> {
    let mut shape = graph.shape(value).to_vec();
    shape.pop();
    graph.reshape(value, &shape)
}

/// The product of samples of at least two axes.
fn of_matrices(graph: &mut Graph, x: &Value, y: &Value) -> Result<Value> {
    let (left, right) = (graph.shape(x).to_vec(), graph.shape(y).to_vec());
    let ([left_front @ .., m, k], [right_front @ .., l, n]) = (left.as_slice(), right.as_slice()) else {
        return Err(across_batch());
    };
    if k != l {
        return Err(Error::shape(format!("no matrix product of shapes {left:?} and {right:?}")));
    }
    // A known matrix on the left is a kernel for the transposed right side: (x y)ᵀ = yᵀ xᵀ.
    if x.known().is_some() && y.known().is_none() && left_front.is_empty() {
        let (kernel, turned) = (transposed(graph, x)?, transposed(graph, y)?);
        let product = dense(graph, &turned, &kernel, None)?;
        return transposed(graph, &product);
    }
    let front = broadcast(left_front, right_front);
    let front =
        front.ok_or_else(|| Error::shape(format!("no matrix product of shapes {left:?} and {right:?}")))?;
    let (x, y, shape) = if right_front.is_empty() {
        // One matrix for all on the left, whose rows go in one.
        let rows = element_count(left_front)?.checked_mul(*m).ok_or_else(across_batch)?;
        (graph.reshape(x, &[rows, *k])?, y.clone(), [left_front, &[*m, *n]].concat())
    } else {
        let x = graph.expand(x, &[&front[..], &[*m, *k]].concat())?;
        let y = graph.expand(y, &[&front[..], &[*l, *n]].concat())?;
        (x, y, [&front[..], &[*m, *n]].concat())
    };
    let inputs = vec![graph.layer(&x)?, graph.layer(&y)?];
    let layer = graph.add(LayerKind::MatMul, inputs)?;
    graph.reshape(&Value { source: Source::Layer(layer), ..x }, &shape)
}
