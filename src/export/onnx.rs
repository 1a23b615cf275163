//! The network as an ONNX model, <https://onnx.ai/onnx/repo-docs/IR.html>: input stage, layers and softmax as one graph of
//! float32. It knows operators, not how their bytes lie in the file.

use super::protobuf::Message;
use super::stages::{InputStage, OutputStage, all_equal};
use crate::error::Result;
use crate::kernels::activations::{self, Formula};
use crate::model_file::ModelMeta;
use crate::nn::{LayerSpec, Sequential};
use crate::tensor_file::Refuse;

/// The set of operators; every one used here has been the same since.
const OPSET: u64 = 17;
/// The version of the format that came with it.
const IR_VERSION: u64 = 8;
/// `TensorProto.DataType.FLOAT`.
const FLOAT: u64 = 1;
/// A file of protocol buffers can have no more bytes.
const MAX_BYTES: usize = i32::MAX as usize;
const INPUT: &str = "x";
const LOGITS: &str = "logits";
const PROBABILITIES: &str = "probabilities";
const VALUES: &str = "values";

/// The whole file. Its input `x` is `[batch, in_features]`, its outputs `logits` and `probabilities` `[batch, out_features]`.
pub(super) fn model(model: &Sequential, meta: &ModelMeta, refuse: &Refuse) -> Result<Vec<u8>> {
    let too_large = |bytes: usize| {
        refuse.because(
            "model",
            format!("would have {bytes} bytes; an ONNX file can have {MAX_BYTES}: use another format"),
        )
    };
    let bytes = model.parameter_count().saturating_mul(size_of::<f32>());
    if bytes > MAX_BYTES {
        return Err(too_large(bytes));
    }
    let (input, output) = (InputStage::of(meta), OutputStage::of(meta));
    let (result, about_result) = match &output {
        OutputStage::Classes { about } => (PROBABILITIES, format!("softmax of the logits, of {about}")),
        OutputStage::Labels { about } => (PROBABILITIES, format!("sigmoid of the logits, of the labels {about}")),
        OutputStage::Values { about, .. } => (VALUES, format!("the logits in the units of {about}")),
    };
    let about = format!(
        "Written by flatnet {}: {}. Input {INPUT}: {}; it is scaled inside. Outputs: {LOGITS}, and {result}, {about_result}.",
        env!("CARGO_PKG_VERSION"),
        model.specs(),
        input.about,
    );
    let graph = graph(model, &input, &output)?;
    let graph = Message::new()
        .messages(1, &graph.nodes)
        .text(2, "flatnet")
        .messages(5, &graph.initializers)
        .text(10, &about)
        .message(11, &value_info(INPUT, model.in_features(), &input.about))
        .message(12, &value_info(LOGITS, model.out_features(), "the network's output"))
        .message(12, &value_info(result, model.out_features(), &about_result));
    let file = Message::new()
        .number(1, IR_VERSION)
        .text(2, "flatnet")
        .text(3, env!("CARGO_PKG_VERSION"))
        .text(6, &about)
        .message(7, &graph)
        // The standard operators are the domain without a name.
        .message(8, &Message::new().text(1, "").number(2, OPSET));
    if file.len() > MAX_BYTES {
        return Err(too_large(file.len()));
    }
    Ok(file.into_bytes())
}

/// Nodes in the order in which they are computed, and the numbers that they need.
#[derive(Default)]
struct Graph {
    nodes: Vec<Message>,
    initializers: Vec<Message>,
}

fn graph(model: &Sequential, input: &InputStage, output: &OutputStage) -> Result<Graph> {
    let mut graph = Graph::default();
    let mut now = INPUT.to_string();
    let (unit, by) = (vec![input.unit], if input.divides { "Div" } else { "Mul" });
    for (op, name, values, neutral) in
        [("Div", "unit", &unit, 1.0), ("Sub", "center", &input.center, 0.0), (by, "scale", &input.scale, 1.0)]
    {
        now = graph.column_by_column(op, now, name, values, neutral, None);
    }
    // A dropout is nothing once a network is trained.
    let layers = model.specs().0.iter().enumerate().filter(|(_, layer)| !matches!(layer, LayerSpec::Dropout { .. }));
    let layers: Vec<(usize, &LayerSpec)> = layers.collect();
    for (place, (at, layer)) in layers.iter().enumerate() {
        let output = if place + 1 == layers.len() { LOGITS.to_string() } else { format!("layer_{at}") };
        match layer {
            LayerSpec::Linear { .. } => {
                let (weight, bias) = (format!("{at}.weight"), format!("{at}.bias"));
                for tensor in [&weight, &bias].into_iter().filter_map(|name| model.parameter(name)) {
                    graph.initializer(tensor.name(), tensor.shape(), &tensor.values());
                }
                // transB: the weight is [out_features, in_features].
                graph.node("Gemm", &[&now, &weight, &bias], &output, &[integer("transB", 1)]);
            }
            LayerSpec::Activation { spec } => {
                let formula = activations::parse(spec, model.relu_grad())?.formula();
                let mut names = Names { prefix: format!("layer_{at}"), count: 0 };
                graph.formula(&formula, &now, Some(output.clone()), &mut names);
            }
            LayerSpec::Dropout { .. } => {}
        }
        now = output;
    }
    match output {
        OutputStage::Classes { .. } => graph.node("Softmax", &[LOGITS], PROBABILITIES, &[integer("axis", -1)]),
        OutputStage::Labels { .. } => graph.node("Sigmoid", &[LOGITS], PROBABILITIES, &[]),
        OutputStage::Values { center, scale, .. } => {
            // Neither is left out: the output has a name of its own.
            let scaled = graph.column_by_column("Mul", LOGITS.into(), "value_scale", scale, f32::NAN, None);
            graph.column_by_column("Add", scaled, "value_center", center, f32::NAN, Some(VALUES));
        }
    }
    Ok(graph)
}

/// Makes names for what lies between, each another one.
struct Names {
    prefix: String,
    count: usize,
}

impl Names {
    fn next(&mut self) -> String {
        self.count += 1;
        format!("{}_{}", self.prefix, self.count)
    }
}

impl Graph {
    /// `op` with a number for each column, or one for all, which is left out where it is neutral. Returns the name of what comes
    /// of it, `output` if that is given.
    fn column_by_column(
        &mut self,
        op: &str,
        now: String,
        name: &str,
        values: &[f32],
        neutral: f32,
        output: Option<&str>,
    ) -> String {
        match all_equal(values) {
            Some(one) if one == neutral => return now,
            Some(one) => self.initializer(name, &[], &[one]),
            None => self.initializer(name, &[values.len()], values),
        }
        let output = output.map_or_else(|| format!("x_{name}"), str::to_string);
        self.node(op, &[&now, name], &output, &[]);
        output
    }

    fn node(&mut self, op: &str, inputs: &[&str], output: &str, attributes: &[Message]) {
        let node = inputs.iter().fold(Message::new(), |node, input| node.text(1, input));
        self.nodes.push(node.text(2, output).text(3, output).text(4, op).messages(5, attributes));
    }

    /// `shape` is empty for a single number.
    fn initializer(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensor = shape.iter().fold(Message::new(), |tensor, side| tensor.number(1, *side as u64));
        self.initializers.push(tensor.number(2, FLOAT).text(8, name).bytes(9, &raw));
    }

    /// The value of `formula`, where `z` is the name of its input; under the name `output` if it has to have one.
    fn formula(&mut self, formula: &Formula, z: &str, output: Option<String>, names: &mut Names) -> String {
        let (op, inputs) = match formula {
            Formula::Z if output.is_none() => return z.to_string(),
            Formula::Z => ("Identity", vec![z.to_string()]),
            Formula::Constant(number) => {
                let name = names.next();
                self.initializer(&name, &[], &[*number as f32]);
                match output.is_none() {
                    true => return name,
                    false => ("Identity", vec![name]),
                }
            }
            Formula::Larger(a, b) if **b == Formula::Constant(0.0) => ("Relu", vec![self.formula(a, z, None, names)]),
            Formula::LnOnePlus(a) => {
                let sum = Formula::Sum(a.clone(), Box::new(Formula::Constant(1.0)));
                ("Log", vec![self.formula(&sum, z, None, names)])
            }
            Formula::Sum(a, b) => ("Add", self.both(a, b, z, names)),
            Formula::Product(a, b) => ("Mul", self.both(a, b, z, names)),
            Formula::Larger(a, b) => ("Max", self.both(a, b, z, names)),
            Formula::Smaller(a, b) => ("Min", self.both(a, b, z, names)),
            Formula::Magnitude(a) => ("Abs", vec![self.formula(a, z, None, names)]),
            Formula::Exp(a) => ("Exp", vec![self.formula(a, z, None, names)]),
            Formula::Tanh(a) => ("Tanh", vec![self.formula(a, z, None, names)]),
            Formula::Sigmoid(a) => ("Sigmoid", vec![self.formula(a, z, None, names)]),
            Formula::Erf(a) => ("Erf", vec![self.formula(a, z, None, names)]),
        };
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let output = output.unwrap_or_else(|| names.next());
        self.node(op, &inputs, &output, &[]);
        output
    }

    fn both(&mut self, a: &Formula, b: &Formula, z: &str, names: &mut Names) -> Vec<String> {
        vec![self.formula(a, z, None, names), self.formula(b, z, None, names)]
    }
}

/// `AttributeProto` of a whole number.
fn integer(name: &str, value: i64) -> Message {
    const INT: u64 = 2;
    // A negative number is written as all of its 64 bits.
    Message::new().text(1, name).number(3, value as u64).number(20, INT)
}

/// `ValueInfoProto` of float32 `[batch, features]`.
fn value_info(name: &str, features: usize, about: &str) -> Message {
    let (batch, features) = (Message::new().text(2, "batch"), Message::new().number(1, features as u64));
    let shape = Message::new().messages(1, &[batch, features]);
    let tensor = Message::new().number(1, FLOAT).message(2, &shape);
    Message::new().text(1, name).message(2, &Message::new().message(1, &tensor)).text(3, about)
}
