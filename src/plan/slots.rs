//! From values to slots: a value lives from the step that writes it to the last one that reads it, and a slot is reused
//! by the next value from then on. No step writes a slot that it reads.

use super::{Graph, Kernel, Operand, Operation, Plan, Source, Step};
use crate::Model;

/// Without `reuse`, every value has a slot of its own.
pub(super) fn assign(model: &Model, mut graph: Graph, reuse: bool) -> Plan {
    drop_unused(&mut graph);
    let mut slots = Slots { widths: vec![], readers: vec![], of_value: vec![0; graph.widths.len()] };
    let uses = graph.uses();
    for &value in &graph.input_values {
        // Written by the caller before the first step runs, so never a slot that a step has used.
        let slot = slots.add();
        slots.give(value, slot, graph.widths[value], uses[value]);
    }
    let mut steps = Vec::with_capacity(graph.operations.len());
    for operation in &graph.operations {
        let output = match operation.extends {
            Some(value) => slots.of_value[value],
            None if reuse => slots.free(),
            None => slots.add(),
        };
        slots.give(operation.output, output, graph.widths[operation.output], uses[operation.output]);
        operation.reads().for_each(|value| slots.readers[slots.of_value[value]] -= 1);
        let source = |operand| match operand {
            Operand::Value(value) => Source::Slot(slots.of_value[value]),
            Operand::Weights(index) => Source::Weights(index),
        };
        steps.push(Step {
            layer: operation.layer,
            kernel: operation.kernel,
            input: source(operation.input),
            second: operation.second.map(source),
            output,
            rows: operation.rows,
            input_width: operation.input_width,
            output_width: operation.output_width,
        });
    }
    for (ports, values) in
        [(&mut graph.inputs, &graph.input_values), (&mut graph.outputs, &graph.output_values)]
    {
        ports.iter_mut().zip(values).for_each(|(port, &value)| port.slot = slots.of_value[value]);
    }
    let mut plan = Plan {
        inputs: graph.inputs,
        outputs: graph.outputs,
        batched: model.batched,
        slots: slots.widths,
        weights: vec![],
        tables: vec![],
        steps,
    };
    keep_what_is_read(&mut plan, &graph.weights, graph.tables);
    plan
}

struct Slots {
    /// Width of each slot.
    widths: Vec<usize>,
    /// Reads still to come of each slot.
    readers: Vec<usize>,
    of_value: Vec<usize>,
}

impl Slots {
    fn add(&mut self) -> usize {
        self.widths.push(0);
        self.readers.push(0);
        self.widths.len() - 1
    }

    fn free(&mut self) -> usize {
        match self.readers.iter().position(|&readers| readers == 0) {
            Some(slot) => slot,
            None => self.add(),
        }
    }

    fn give(&mut self, value: usize, slot: usize, width: usize, uses: usize) {
        self.of_value[value] = slot;
        self.widths[slot] = self.widths[slot].max(width);
        self.readers[slot] += uses;
    }
}

/// Drops operations whose results nobody reads, the last first.
fn drop_unused(graph: &mut Graph) {
    let mut uses = graph.uses();
    let mut kept: Vec<Operation> = Vec::with_capacity(graph.operations.len());
    while let Some(operation) = graph.operations.pop() {
        if uses[operation.output] > 0 {
            kept.push(operation);
        } else {
            operation.reads().for_each(|value| uses[value] -= 1);
        }
    }
    kept.reverse();
    graph.operations = kept;
}

/// Leaves out weights and tables that folding has replaced.
fn keep_what_is_read(plan: &mut Plan, weights: &[crate::Tensor], mut tables: Vec<Vec<u32>>) {
    let mut places = vec![None; weights.len()];
    let mut keep = |index: &mut usize| {
        let place = places[*index].get_or_insert_with(|| {
            plan.weights.push(weights[*index].clone());
            plan.weights.len() - 1
        });
        *index = *place;
    };
    for step in &mut plan.steps {
        for source in [Some(&mut step.input), step.second.as_mut()].into_iter().flatten() {
            if let Source::Weights(index) = source {
                keep(index);
            }
        }
        match &mut step.kernel {
            Kernel::Dense { kernel, bias, .. } => {
                keep(kernel);
                bias.iter_mut().for_each(&mut keep);
            }
            Kernel::Lookup { table } => keep(table),
            Kernel::Select { table } => {
                plan.tables.push(std::mem::take(&mut tables[*table]));
                *table = plan.tables.len() - 1;
            }
            _ => {}
        }
    }
}
