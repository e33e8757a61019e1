//! What a model is compiled to.
#![cfg(all(feature = "engine", not(target_arch = "wasm32")))]

use nearside::{
    Activation, Elementwise, ErrorKind, Kernel, Layer, LayerKind, Model, Node, Plan, Rowwise, Source, Tensor,
    layer::Encoding,
};

fn input(shape: &[usize]) -> Layer {
    Layer::new("x", LayerKind::Input { shape: shape.to_vec() })
}

fn dense(name: &str, inputs: usize, units: usize, activation: &str) -> Layer {
    let kernel = Tensor::new(vec![inputs, units], vec![0.5; inputs * units]).unwrap();
    let activation = Activation::from_name(activation).unwrap();
    Layer::new(name, LayerKind::Dense { kernel, bias: None, activation })
}

fn activation(name: &str) -> Layer {
    Layer::new(name, LayerKind::Activation(Activation::from_name(name).unwrap()))
}

fn compile(layers: Vec<Layer>) -> Plan {
    Plan::compile(&Model::sequential("m", layers).unwrap()).unwrap()
}

/// The kernels, but for where they find their weights.
fn kernels(plan: &Plan) -> Vec<Kernel> {
    let kernels = plan.steps.iter().map(|step| match step.kernel {
        Kernel::Dense { activation, .. } => product(activation),
        kernel => kernel,
    });
    kernels.collect()
}

fn product(activation: Elementwise) -> Kernel {
    Kernel::Dense { kernel: 0, bias: None, activation }
}

#[test]
fn an_activation_layer_is_fused_into_the_product_before_it() {
    let plan = compile(vec![input(&[3]), dense("d", 3, 4, "linear"), activation("tanh")]);
    assert_eq!(kernels(&plan), [product(Elementwise::Tanh)]);
}

#[test]
fn a_second_activation_is_a_step_of_its_own() {
    let plan = compile(vec![input(&[3]), dense("d", 3, 4, "sigmoid"), activation("tanh")]);
    let expected = [product(Elementwise::Sigmoid), Kernel::Activate(Elementwise::Tanh)];
    assert_eq!(kernels(&plan), expected);
}

#[test]
fn an_activation_is_not_fused_where_another_reads_the_product() {
    let layers = vec![input(&[3]), dense("d", 3, 4, "linear"), activation("tanh")];
    let mut model = Model::sequential("m", layers).unwrap();
    model.outputs = vec![1, 2];
    let plan = Plan::compile(&model).unwrap();
    let expected = [product(Elementwise::Linear), Kernel::Activate(Elementwise::Tanh)];
    assert_eq!(kernels(&plan), expected);
    assert_ne!(plan.outputs[0].slot, plan.outputs[1].slot);
}

#[test]
fn a_row_wise_activation_follows_the_product() {
    let plan = compile(vec![input(&[2, 3]), dense("d", 3, 4, "glu")]);
    let expected = [product(Elementwise::Linear), Kernel::Rowwise(Rowwise::Glu)];
    assert_eq!(kernels(&plan), expected);
    let glu = &plan.steps[1];
    assert_eq!((glu.rows, glu.input_width, glu.output_width), (2, 4, 2));
    assert_eq!(plan.outputs[0].shape, [2, 2]);
}

#[test]
fn layers_that_compute_nothing_make_no_step() {
    let idle = vec![
        input(&[2, 3]),
        Layer::new("flatten", LayerKind::Flatten),
        Layer::new("dropout", LayerKind::Dropout { rate: 0.5 }),
        activation("linear"),
    ];
    let plan = compile(idle);
    assert_eq!(plan.steps, []);
    assert_eq!(plan.outputs[0].slot, plan.inputs[0].slot);
    assert_eq!(plan.outputs[0].shape, [6]);
}

#[test]
fn a_chain_runs_in_two_slots() {
    let mut layers = vec![input(&[4])];
    layers.extend((0..20).map(|i| dense(&format!("d{i}"), 4, 4, "relu")));
    assert_eq!(compile(layers).slots, [4, 4]);
}

#[test]
fn no_step_writes_a_slot_that_it_or_a_later_step_still_reads() {
    // x → a → b → c, with a read again by d at the end.
    let layers =
        vec![input(&[4]), dense("a", 4, 4, "relu"), dense("b", 4, 4, "relu"), dense("c", 4, 4, "relu")];
    let mut model = Model::sequential("m", layers).unwrap();
    model.layers.push(dense("d", 4, 4, "relu"));
    model.nodes.push(Node { layer: 4, inputs: vec![1] });
    model.outputs = vec![3, 4];
    let plan = Plan::compile(&model).unwrap();
    let a = plan.steps[0].output;
    assert!(plan.steps.iter().all(|step| step.input != Source::Slot(step.output)));
    assert!(plan.steps[1..3].iter().all(|step| step.output != a));
    assert_eq!(plan.steps[3].input, Source::Slot(a));
    assert_ne!(plan.outputs[0].slot, plan.outputs[1].slot);
}

#[test]
fn layers_that_do_not_fit_together_are_named() {
    let error = Model::sequential("m", vec![input(&[3]), dense("wide", 4, 2, "relu")]).unwrap_err();
    assert_eq!((error.kind(), error.context().layer.as_deref()), (ErrorKind::Shape, Some("wide")));
    let error =
        Model::sequential("m", vec![input(&[3]), activation("relu"), activation("relu")]).unwrap_err();
    assert_eq!((error.kind(), error.context().layer.as_deref()), (ErrorKind::Format, Some("relu")));
    let error = Model::sequential("m", vec![input(&[3]), activation("glu")]).unwrap_err();
    assert_eq!((error.kind(), error.context().layer.as_deref()), (ErrorKind::Shape, Some("glu")));
}

#[test]
fn graphs_that_are_none_are_refused() {
    let sound = Model::sequential("m", vec![input(&[3]), activation("relu")]).unwrap();
    let broken = |change: fn(&mut Model)| {
        let mut model = sound.clone();
        change(&mut model);
        Plan::compile(&model).unwrap_err().kind()
    };
    assert_eq!(broken(|model| model.nodes[1].inputs = vec![1]), ErrorKind::Format);
    assert_eq!(broken(|model| model.nodes[1].inputs = vec![]), ErrorKind::Format);
    assert_eq!(broken(|model| model.nodes[1].layer = 7), ErrorKind::Format);
    assert_eq!(broken(|model| model.outputs = vec![]), ErrorKind::Format);
    assert_eq!(broken(|model| model.outputs = vec![2]), ErrorKind::Format);
    assert_eq!(broken(|model| model.nodes.clear()), ErrorKind::Format);
}

#[test]
fn the_summary_shows_each_layer_with_its_shape_and_weights() {
    let model = Model::sequential("m", vec![input(&[2, 3]), dense("d", 3, 4, "relu")]).unwrap();
    let expected = "\
Model 'm'
Layer  Type          Output shape   Parameters
x      InputLayer    (batch, 2, 3)           0
d      Dense (relu)  (batch, 2, 4)          12
Total parameters: 12";
    assert_eq!(model.summary().unwrap(), expected);
}

#[test]
fn outputs_of_one_layer_have_a_name_each() {
    let node = |layer, inputs: &[usize]| Node { layer, inputs: inputs.to_vec() };
    let model = Model {
        name: "m".into(),
        layers: vec![input(&[3]), activation("relu"), Layer::new("relu_1", LayerKind::Flatten)],
        nodes: vec![node(0, &[]), node(1, &[0]), node(1, &[1]), node(2, &[2])],
        outputs: vec![1, 3, 2, 1],
        batched: true,
        compiled: None,
    };
    let plan = Plan::compile(&model).unwrap();
    let names: Vec<&str> = plan.outputs.iter().map(|port| port.name.as_str()).collect();
    assert_eq!(names, ["relu", "relu_1", "relu_2", "relu_3"]);
}

#[test]
fn what_a_few_bytes_can_ask_for_is_bounded() {
    let refused = |layers: Vec<Layer>| {
        let model = Model::sequential("m", layers);
        model.and_then(|model| Plan::compile(&model)).expect_err("far too much").kind()
    };
    let transpose = |i: usize| Layer::new(format!("t{i}"), LayerKind::Permute { axes: vec![1, 0] });
    assert_eq!(refused(vec![input(&[1 << 13, 1 << 12]), transpose(0)]), ErrorKind::Unsupported);
    // Each is small, all together are not.
    let many = std::iter::once(input(&[512, 256])).chain((0..200).map(transpose));
    assert_eq!(refused(many.collect()), ErrorKind::Unsupported);
    let tokens = LayerKind::CategoryEncoding { tokens: 1 << 20, mode: Encoding::MultiHot };
    assert_eq!(refused(vec![input(&[100]), Layer::new("c", tokens)]), ErrorKind::Unsupported);
    assert_eq!(refused(vec![input(&[1; 33]), activation("relu")]), ErrorKind::Unsupported);
    // Doubles an axis until its length has no number.
    let mut model = Model::sequential("m", vec![input(&[3])]).unwrap();
    for i in 0..usize::BITS as usize {
        model.layers.push(Layer::new(format!("c{i}"), LayerKind::Concatenate { axis: 0 }));
        model.nodes.push(Node { layer: i + 1, inputs: vec![i, i] });
    }
    model.outputs = vec![model.nodes.len() - 1];
    assert_eq!(model.shapes().unwrap_err().kind(), ErrorKind::Shape);
}
