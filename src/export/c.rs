//! The network as one C99 header: constants and a function, for machines that have a C compiler and little else. It knows C,
//! and how much memory such code takes.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::stages::{InputStage, OutputStage, all_equal};
use crate::error::Result;
use crate::kernels::activations::{self, Formula};
use crate::model_file::ModelMeta;
use crate::nn::{LayerSpec, Sequential};

/// The largest number that an `int` can hold on every machine.
const MAX_INT: usize = 32_767;
/// Numbers to a line.
const PER_LINE: usize = 8;

/// The whole header. Its names begin with that of the file.
pub(super) fn header(path: &Path, model: &Sequential, meta: &ModelMeta) -> Result<String> {
    let name = identifier(path);
    let (steps, functions) = steps(&name, model)?;
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = write_header(&mut text, &name, model, meta, &steps, &functions);
    Ok(text)
}

/// What C takes as the beginning of a name: the file's own without its extension, and an underscore for what C has none of.
fn identifier(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    // A digit begins no name, and names that begin with an underscore are the compiler's.
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("model_{name}") }
}

/// One step of the function.
enum Step {
    Linear { at: usize, in_features: usize, out_features: usize },
    Elementwise { function: String, spec: String, width: usize },
}

/// Each activation once: its text, its function's name and its formula.
type Functions<'a> = BTreeMap<&'a str, (String, Formula)>;

fn steps<'a>(name: &str, model: &'a Sequential) -> Result<(Vec<Step>, Functions<'a>)> {
    let mut functions = Functions::new();
    let (mut steps, mut width) = (Vec::new(), model.in_features());
    for (at, layer) in model.specs().0.iter().enumerate() {
        match layer {
            LayerSpec::Linear { out_features } => {
                steps.push(Step::Linear { at, in_features: width, out_features: *out_features });
            }
            LayerSpec::Activation { spec } => {
                let (kind, parameter) = spec.split_once(':').map_or((spec.as_str(), false), |(kind, _)| (kind, true));
                let function = format!("{name}_{}", kind.replace('-', "_"));
                let function = if parameter { format!("{function}_{at}") } else { function };
                if !functions.contains_key(spec.as_str()) {
                    let formula = activations::parse(spec, model.relu_grad())?.formula();
                    functions.insert(spec, (function, formula));
                }
                let function = functions[spec.as_str()].0.clone();
                steps.push(Step::Elementwise { function, spec: spec.clone(), width });
            }
            // Nothing, once a network is trained.
            LayerSpec::Dropout { .. } => {}
        }
        width = layer.out_features(width);
    }
    Ok((steps, functions))
}

fn write_header(
    out: &mut String,
    name: &str,
    model: &Sequential,
    meta: &ModelMeta,
    steps: &[Step],
    functions: &Functions,
) -> std::fmt::Result {
    let (input, output) = (InputStage::of(meta), OutputStage::of(meta));
    let (inputs, outputs) = (model.in_features(), model.out_features());
    let last_linear = steps.iter().rposition(|step| matches!(step, Step::Linear { .. })).unwrap_or(0);
    // Two buffers in turn: the first holds the inputs and every second layer after them.
    let mut rooms = [inputs, 0];
    let hidden = steps[..last_linear].iter().filter_map(|step| match step {
        Step::Linear { out_features, .. } => Some(*out_features),
        Step::Elementwise { .. } => None,
    });
    hidden.enumerate().for_each(|(nth, width)| rooms[(nth + 1) % 2] = rooms[(nth + 1) % 2].max(width));
    let widest = rooms.iter().copied().max().unwrap_or(0).max(outputs);
    let int = if widest <= MAX_INT { "int" } else { "long" };
    let constants = 4 * (model.parameter_count() + vector(&input.center).len() + vector(&input.scale).len());
    let macros = name.to_ascii_uppercase();

    writeln!(out, "/* Written by flatnet {}: {}.", env!("CARGO_PKG_VERSION"), model.specs())?;
    writeln!(out, " *")?;
    writeln!(out, " * x: {}; they are scaled inside.", input.about)?;
    match &output {
        OutputStage::Classes { about } => {
            writeln!(out, " * out: logits of {about}. The largest is that of the likeliest class; their")?;
            writeln!(out, " * softmax is the classes' probabilities.")?;
        }
        OutputStage::Labels { about } => {
            writeln!(out, " * out: logits of the labels {about}. A label is there where its logit is above 0;")?;
            writeln!(out, " * 1 / (1 + exp(-logit)) is its probability.")?;
        }
        OutputStage::Values { about, .. } => writeln!(out, " * out: {about}, in their own units.")?,
    }
    writeln!(out, " *")?;
    writeln!(out, " * {constants} bytes of constants, {} of stack. C99. */", 4 * (rooms[0] + rooms[1]))?;
    writeln!(out, "#ifndef {macros}_H\n#define {macros}_H\n")?;
    if functions.values().any(|(_, formula)| needs_math(formula)) {
        writeln!(out, "#include <math.h>\n")?;
    }
    writeln!(out, "#define {macros}_INPUTS {inputs}\n#define {macros}_OUTPUTS {outputs}\n")?;
    let by = if input.divides { '/' } else { '*' };
    writeln!(out, "/* x becomes (x / {} - center) {by} scale. */", input.unit)?;
    let of_values = match &output {
        OutputStage::Values { center, scale, .. } => vec![("value_center", center), ("value_scale", scale)],
        _ => vec![],
    };
    for (kind, values) in [("center", &input.center), ("scale", &input.scale)].into_iter().chain(of_values) {
        match all_equal(values) {
            Some(one) => writeln!(out, "static const float {name}_{kind} = {};", number(one))?,
            None => {
                write!(out, "static const float {name}_{kind}[{}] = ", values.len())?;
                write_numbers(out, values, "    ")?;
                writeln!(out, ";")?;
            }
        }
    }
    writeln!(out)?;
    for step in steps {
        let Step::Linear { at, in_features, out_features } = step else { continue };
        let values = |kind: &str| model.parameter(&format!("{at}.{kind}")).map_or(Vec::new(), |tensor| tensor.values());
        writeln!(out, "/* By output, then by input. */")?;
        writeln!(out, "static const float {name}_weight_{at}[{out_features}][{in_features}] = {{")?;
        for row in values("weight").chunks(*in_features) {
            write!(out, "    ")?;
            write_numbers(out, row, "        ")?;
            writeln!(out, ",")?;
        }
        write!(out, "}};\nstatic const float {name}_bias_{at}[{out_features}] = ")?;
        write_numbers(out, &values("bias"), "    ")?;
        writeln!(out, ";\n")?;
    }
    for (spec, (function, formula)) in functions {
        writeln!(
            out,
            "/* {spec} */\nstatic inline float {function}(float z)\n{{\n    return {};\n}}\n",
            c_of(formula)
        )?;
    }

    writeln!(out, "static inline void {name}_predict(const float *x, float *out)\n{{")?;
    writeln!(out, "    float a[{}];", rooms[0])?;
    if rooms[1] > 0 {
        writeln!(out, "    float b[{}];", rooms[1])?;
    }
    writeln!(out, "    {int} i, j;\n")?;
    let at = |kind: &str, values: &[f32]| match all_equal(values) {
        Some(_) => format!("{name}_{kind}"),
        None => format!("{name}_{kind}[i]"),
    };
    writeln!(out, "    for (i = 0; i < {inputs}; i++) {{")?;
    let unit = number(input.unit);
    let (center, scale) = (at("center", &input.center), at("scale", &input.scale));
    writeln!(out, "        a[i] = (x[i] / {unit} - {center}) {by} {scale};")?;
    writeln!(out, "    }}")?;
    let (mut now, mut other) = ("a", "b");
    for (place, step) in steps.iter().enumerate() {
        match step {
            Step::Linear { at, in_features, out_features } => {
                let to = if place == last_linear { "out" } else { other };
                writeln!(out, "\n    /* linear:{out_features} */")?;
                writeln!(out, "    for (j = 0; j < {out_features}; j++) {{")?;
                writeln!(out, "        float sum = {name}_bias_{at}[j];")?;
                writeln!(out, "        for (i = 0; i < {in_features}; i++) {{")?;
                writeln!(out, "            sum += {name}_weight_{at}[j][i] * {now}[i];")?;
                writeln!(out, "        }}\n        {to}[j] = sum;\n    }}")?;
                (now, other) = (to, now);
            }
            Step::Elementwise { function, spec, width } => {
                writeln!(out, "\n    /* {spec} */\n    for (j = 0; j < {width}; j++) {{")?;
                writeln!(out, "        {now}[j] = {function}({now}[j]);\n    }}")?;
            }
        }
    }
    if let OutputStage::Values { center, scale, .. } = &output {
        let (center, scale) = (at("value_center", center), at("value_scale", scale));
        writeln!(out, "\n    for (i = 0; i < {outputs}; i++) {{")?;
        writeln!(out, "        out[i] = out[i] * {scale} + {center};\n    }}")?;
    }
    writeln!(out, "}}\n")?;
    if !matches!(output, OutputStage::Classes { .. }) {
        return writeln!(out, "#endif");
    }
    writeln!(out, "/* The likeliest class, counted from 0. */")?;
    writeln!(
        out,
        "static inline {int} {name}_class(const float *x)\n{{\n    float out[{outputs}];\n    {int} j, best = 0;\n"
    )?;
    writeln!(out, "    {name}_predict(x, out);\n    for (j = 1; j < {outputs}; j++) {{")?;
    writeln!(
        out,
        "        if (out[j] > out[best]) {{\n            best = j;\n        }}\n    }}\n    return best;\n}}\n"
    )?;
    writeln!(out, "#endif")
}

/// What is kept of a vector: one number where all are equal.
fn vector(values: &[f32]) -> &[f32] {
    if all_equal(values).is_some() { &values[..1] } else { values }
}

fn write_numbers(out: &mut String, values: &[f32], indent: &str) -> std::fmt::Result {
    write!(out, "{{")?;
    for line in values.chunks(PER_LINE) {
        let numbers: Vec<String> = line.iter().map(|value| number(*value)).collect();
        write!(out, "\n{indent}{},", numbers.join(", "))?;
    }
    write!(out, "\n{}}}", &indent[4..])
}

/// The shortest literal that is read as the same float.
fn number(value: f32) -> String {
    format!("{value:?}f")
}

fn needs_math(formula: &Formula) -> bool {
    match formula {
        Formula::Z | Formula::Constant(_) => false,
        Formula::Sum(a, b) | Formula::Product(a, b) => needs_math(a) || needs_math(b),
        Formula::Larger(a, b) | Formula::Smaller(a, b) => !is_plain(a) || !is_plain(b),
        _ => true,
    }
}

/// Whether it can stand twice in an expression.
fn is_plain(formula: &Formula) -> bool {
    matches!(formula, Formula::Z | Formula::Constant(_))
}

fn c_of(formula: &Formula) -> String {
    let call = |function: &str, a: &Formula| format!("{function}({})", c_of(a));
    let pick = |sign: char, function: &str, a: &Formula, b: &Formula| match is_plain(a) && is_plain(b) {
        true => format!("({0} {sign} {1} ? {0} : {1})", c_of(a), c_of(b)),
        false => format!("{function}({}, {})", c_of(a), c_of(b)),
    };
    match formula {
        Formula::Z => "z".into(),
        Formula::Constant(value) if *value < 0.0 => format!("({})", number(*value as f32)),
        Formula::Constant(value) => number(*value as f32),
        Formula::Sum(a, b) => format!("({} + {})", c_of(a), c_of(b)),
        Formula::Product(a, b) => format!("({} * {})", c_of(a), c_of(b)),
        Formula::Larger(a, b) => pick('>', "fmaxf", a, b),
        Formula::Smaller(a, b) => pick('<', "fminf", a, b),
        Formula::Magnitude(a) => call("fabsf", a),
        Formula::Exp(a) => call("expf", a),
        Formula::LnOnePlus(a) => call("log1pf", a),
        Formula::Tanh(a) => call("tanhf", a),
        Formula::Sigmoid(a) => format!("(1.0f / (1.0f + expf(-{})))", c_of(a)),
        Formula::Erf(a) => call("erff", a),
    }
}
