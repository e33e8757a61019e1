//! Operators: <https://onnx.ai/onnx/operators/>.

mod arithmetic;
mod elementwise;
mod index;
mod matrix;
mod ml;
mod normalize;
mod pool;
mod reduce;
mod select;
mod shape;

use super::{attributes::Attributes, graph::Graph, value::Value};
use crate::{Error, Result};

/// A node of the graph, with what it is given.
pub(super) struct Call<'a> {
    pub op: &'a str,
    /// Version of the operator's domain.
    pub version: i64,
    /// What is not taken yet; the last that are missing may not be in the list.
    pub inputs: Vec<Option<Value>>,
    pub attributes: Attributes<'a>,
    /// Which outputs somebody needs.
    pub wanted: Vec<bool>,
}

impl Call<'_> {
    /// An input that must be there.
    pub fn input(&mut self, index: usize) -> Result<Value> {
        self.optional(index).ok_or_else(|| Error::format(format!("input {index} is missing")))
    }

    /// An input that may be left out.
    pub fn optional(&mut self, index: usize) -> Option<Value> {
        self.inputs.get_mut(index)?.take()
    }

    /// All inputs, of an operator that takes any number.
    pub fn all_inputs(&mut self) -> Result<Vec<Value>> {
        (0..self.inputs.len()).map(|index| self.input(index)).collect()
    }

    pub fn wants(&self, output: usize) -> bool {
        self.wanted.get(output) == Some(&true)
    }

    /// Whole numbers that older versions have as an attribute, newer ones as an input.
    pub fn ints(&mut self, name: &str, input: usize) -> Result<Option<Vec<i64>>> {
        if let Some(ints) = self.attributes.ints(name)? {
            return Ok(Some(ints));
        }
        self.optional(input)
            .map(|value| value.ints(&format!("the input '{name}'")).map(<[i64]>::to_vec))
            .transpose()
    }

    /// The operator's outputs.
    pub fn run(&mut self, ml: bool, graph: &mut Graph) -> Result<Vec<Value>> {
        let outputs = if ml { ml::run(self, graph)? } else { run(self, graph)? };
        let Some(outputs) = outputs else {
            return Err(Error::unsupported("the operator is not supported"));
        };
        self.attributes.finish()?;
        if let Some(index) = self.inputs.iter().position(Option::is_some) {
            return Err(Error::unsupported(format!("input {index} is not supported")));
        }
        match (outputs.len()..self.wanted.len()).find(|&output| self.wants(output)) {
            Some(output) => Err(Error::unsupported(format!("output {output} is not supported"))),
            None => Ok(outputs),
        }
    }
}

/// The outputs of an operator of ONNX's own domain, if it is known.
fn run(call: &mut Call, graph: &mut Graph) -> Result<Option<Vec<Value>>> {
    if let Some(value) = elementwise::run(call, graph)? {
        return Ok(Some(vec![value]));
    }
    let output = match call.op {
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Mod" | "Min" | "Max" | "Sum" | "Mean" | "Equal" | "Less"
        | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "And" | "Or" | "Xor" => {
            arithmetic::run(call, graph)?
        }
        "PRelu" => arithmetic::prelu(call, graph)?,
        "Where" => arithmetic::choice(call, graph)?,
        "Clip" => arithmetic::clip(call, graph)?,
        "Cast" | "CastLike" => arithmetic::cast(call, graph)?,
        "DequantizeLinear" => arithmetic::dequantize(call, graph)?,
        "Gemm" => matrix::gemm(call, graph)?,
        "MatMul" => matrix::matmul(call, graph)?,
        "Softmax" | "LogSoftmax" | "Hardmax" => normalize::softmax(call, graph)?,
        "RMSNormalization" => normalize::rms(call, graph)?,
        "LpNormalization" => normalize::lp(call, graph)?,
        "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2"
        | "ReduceSumSquare" | "ReduceLogSum" | "ReduceLogSumExp" => reduce::run(call, graph)?,
        "ArgMax" | "ArgMin" => reduce::arg(call, graph)?,
        "MaxPool" | "AveragePool" => pool::run(call, graph)?,
        "GlobalMaxPool" | "GlobalAveragePool" => pool::global(call, graph)?,
        "Flatten" => shape::flatten(call, graph)?,
        "Reshape" => shape::reshape(call, graph)?,
        "Squeeze" => shape::squeeze(call, graph)?,
        "Unsqueeze" => shape::unsqueeze(call, graph)?,
        "Transpose" => shape::transpose(call, graph)?,
        "Expand" => shape::expand(call, graph)?,
        "Tile" => shape::tile(call, graph)?,
        "Shape" => shape::shape(call, graph)?,
        "Size" => shape::size(call, graph)?,
        "Constant" => call.attributes.constant()?,
        "ConstantOfShape" => shape::constant_of_shape(call, graph)?,
        "Range" => shape::range(call, graph)?,
        "Concat" => select::concat(call, graph)?,
        "Slice" => select::slice(call, graph)?,
        "Gather" => select::gather(call, graph)?,
        "OneHot" => select::one_hot(call, graph)?,
        "Split" => return select::split(call, graph).map(Some),
        "Dropout" => return arithmetic::dropout(call, graph).map(Some),
        "BatchNormalization" => return normalize::batch(call, graph).map(Some),
        "LayerNormalization" => return normalize::layer(call, graph).map(Some),
        _ => return Ok(None),
    };
    Ok(Some(vec![output]))
}
