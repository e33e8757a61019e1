//! Products of matrices.

use crate::{
    Error, LayerKind, Tensor,
    format::onnx::{
        graph::Graph,
        value::{Batch, Failed, Outcome, Value},
    },
    layer::broadcast,
};

fn transposed(graph: &mut Graph, value: Value) -> Outcome {
    let rank = graph.shape(value).len();
    graph.move_axis(value, rank.saturating_sub(1), rank.saturating_sub(2))
}

/// `alpha · A · B + beta · C`, A and B transposed or not.
pub(super) fn gemm(graph: &mut Graph) -> Outcome {
    let (mut a, mut b, mut c) = (graph.input(0)?, graph.input(1)?, graph.optional(2));
    let (alpha, beta) = (graph.float("alpha", 1.0), graph.float("beta", 1.0));
    let (turns_a, turns_b) = (graph.flag("transA"), graph.flag("transB"));
    if graph.rank(a) != 2 || graph.rank(b) != 2 {
        return Err(graph.fail(Error::shape("matrices are needed")));
    }
    // Transposed, the batch axis would be the one that is summed over.
    if (turns_a && graph.batch(a) != Batch::None) || graph.batch(b) != Batch::None {
        return Err(graph.across_batch());
    }
    if turns_a {
        a = transposed(graph, a)?;
    }
    if turns_b {
        b = transposed(graph, b)?;
    }
    if let Some(c) = &mut c {
        *c = graph.rescaled(*c, beta, 0.0)?;
    }
    let product = if !graph.is_known(a) && graph.is_known(b) {
        let kernel = graph.rescaled(b, alpha, 0.0)?;
        let bias = match c {
            Some(c) => bias(graph, c, graph.width(kernel))?,
            None => None,
        };
        if bias.is_some() {
            c = None;
        }
        graph.dense(a, kernel, bias)?
    } else {
        let product = multiplied(graph, a, b)?;
        graph.rescaled(product, alpha, 0.0)?
    };
    graph.scaled(product, None, c)
}

/// A row of `C` as a bias. A whole matrix is none.
fn bias(graph: &mut Graph, row: Value, units: usize) -> Outcome<Option<Tensor>> {
    let row = match *graph.shape(row) {
        _ if !graph.is_known(row) => return Ok(None),
        [] | [1] => row,
        [width] if width == units => row,
        [1, width] if width == units || width == 1 => graph.reshape(row, &[width])?,
        _ => return Ok(None),
    };
    let row = graph.expand(row, &[units])?;
    graph.tensor(row, "the bias").map(Some)
}

pub(super) fn matmul(graph: &mut Graph) -> Outcome {
    let (a, b) = (graph.input(0)?, graph.input(1)?);
    multiplied(graph, a, b)
}

/// NumPy's product: of matrices in the last two axes, vectors taken for a row on the left and a column on the right.
fn multiplied(graph: &mut Graph, a: Value, b: Value) -> Outcome {
    let (left, right) = (graph.rank(a), graph.rank(b));
    if left == 0 || right == 0 {
        return Err(graph.fail(Error::shape("a product of matrices of which one is a number")));
    }
    if graph.is_known(b) && !graph.is_known(a) {
        match *graph.shape(b) {
            [_, _] => return graph.dense(a, b, None),
            [width] => {
                let column = graph.reshape(b, &[width, 1])?;
                let product = graph.dense(a, column, None)?;
                return graph.without_last(product);
            }
            [ref front @ .., k, n] if front.len() + 2 <= left && front.iter().all(|&length| length == 1) => {
                let matrix = graph.reshape(b, &[k, n])?;
                return graph.dense(a, matrix, None);
            }
            _ => {}
        }
    }
    // The batch axis may be in front of matrices, of one side or both; or the left side's rows are samples.
    let (batch_a, batch_b) = (graph.batch(a), graph.batch(b));
    let row_left = left == 1 || (left == 2 && batch_a == Batch::First);
    let fits = match (batch_a, batch_b) {
        (Batch::None, Batch::None) => true,
        (Batch::First, Batch::None) => right <= 2 || (left > 2 && right <= left),
        (Batch::None, Batch::First) => right > 2 && left <= right,
        (Batch::First, Batch::First) => left == right && left > 2,
        _ => false,
    };
    if !fits {
        return Err(graph.across_batch());
    }
    let mut both = [a, b];
    if left == right && left > 2 {
        // The other side has an axis of length 1 where the batch is.
        graph.align(&mut both)?;
    }
    let [mut x, mut y] = both;
    if row_left {
        x = graph.with_axis(x, 0)?;
    }
    if right == 1 {
        y = graph.with_axis(y, usize::MAX)?;
    }
    let product = of_matrices(graph, x, y)?;
    let product = graph.with_batch(product, batch_a.or(batch_b));
    let mut product = graph.of_kind(product, graph.kind(a));
    if right == 1 {
        product = graph.without_last(product)?;
    }
    if row_left {
        let row = graph.shape(product).len().saturating_sub(if right == 1 { 1 } else { 2 });
        product = graph.without_axis(product, row)?;
    }
    Ok(product)
}

/// The product of samples of at least two axes.
fn of_matrices(graph: &mut Graph, x: Value, y: Value) -> Outcome {
    let (left, right) = (graph.shape(x).to_vec(), graph.shape(y).to_vec());
    let ([left_front @ .., m, k], [right_front @ .., l, n]) = (&*left, &*right) else {
        return Err(graph.across_batch());
    };
    if k != l {
        return Err(misfit(graph, &left, &right));
    }
    // A known matrix on the left is a kernel for the transposed right side: (x y)ᵀ = yᵀ xᵀ.
    if graph.is_known(x) && !graph.is_known(y) && left_front.is_empty() {
        let (kernel, turned) = (transposed(graph, x)?, transposed(graph, y)?);
        let product = graph.dense(turned, kernel, None)?;
        return transposed(graph, product);
    }
    let Some(mut shape) = broadcast(left_front, right_front) else {
        return Err(misfit(graph, &left, &right));
    };
    let (x, y) = if right_front.is_empty() {
        // One matrix for all on the left, whose rows go in one.
        let Some(rows) = graph.count(left_front)?.checked_mul(*m) else {
            return Err(graph.across_batch());
        };
        (graph.reshape(x, &[rows, *k])?, y)
    } else {
        let of_shape = |rows: usize, columns: usize| [&*shape, &[rows, columns]].concat();
        let (for_x, for_y) = (of_shape(*m, *k), of_shape(*l, *n));
        (graph.expand(x, &for_x)?, graph.expand(y, &for_y)?)
    };
    let product = graph.add(LayerKind::MatMul, &[x, y], x)?;
    shape.extend([*m, *n]);
    graph.reshape(product, &shape)
}

fn misfit(graph: &Graph, left: &[usize], right: &[usize]) -> Failed {
    graph.fail(Error::shape(format!("no matrix product of shapes {left:?} and {right:?}")))
}
