//! Gradients against central differences. The differences are taken in f64 on the plain loops of
//! `kernels::reference`; what is judged is flatnet's own backward pass.

use flatnet::data::Targets;
use flatnet::kernels::{SimdLevel, reference};
use flatnet::loss::{Criterion, CrossEntropy};
use flatnet::nn::{Context, Init, LayerSpec, ReluGrad, Sequential, Workspace};

const M: usize = 5;
const CLASSES: usize = 4;
const LABELS: [u32; M] = [0, 3, 1, 2, 3];

/// The mean loss of a network in f64, as a function of its parameters.
///
/// With the straight-through backward the gradient is not the derivative of the loss but of one in which each rectifier
/// is replaced by `relu(z0) + (z - z0)`, `z0` being its input before the parameters were moved; `frozen` holds those.
fn loss(model: &Sequential, parameters: &[Vec<f64>], x: &[f64], frozen: Option<&[Vec<f64>]>) -> (f64, Vec<Vec<f64>>) {
    let mut inputs = vec![];
    let mut current = x.to_vec();
    let mut parameters = parameters.iter();
    for layer in &model.specs().0 {
        inputs.push(current.clone());
        match layer {
            LayerSpec::Linear { out_features } => {
                let mut z = vec![0.0; M * out_features];
                reference::linear_forward(&current, parameters.next().unwrap(), parameters.next().unwrap(), &mut z);
                current = z;
            }
            _ => {
                let mut y = vec![0.0; current.len()];
                match frozen {
                    None => reference::relu_forward(&current, &mut y),
                    Some(frozen) => {
                        let z0 = &frozen[inputs.len() - 1];
                        reference::relu_forward(z0, &mut y);
                        y.iter_mut().zip(&current).zip(z0).for_each(|((y, z), z0)| *y += z - z0);
                    }
                }
                current = y;
            }
        }
    }
    let targets: Vec<f64> = LABELS
        .iter()
        .flat_map(|label| (0..CLASSES).map(move |class| f64::from(u8::from(class == *label as usize))))
        .collect();
    let (mut p, mut ce) = (vec![0.0; M * CLASSES], vec![0.0; M]);
    (reference::softmax_cross_entropy_forward(&current, &targets, CLASSES, &mut p, &mut ce), inputs)
}

fn check(layers: &str, relu_grad: ReluGrad, seed: u64) {
    const IN: usize = 19;
    let specs = layers.parse().unwrap();
    let mut model =
        Sequential::new(IN).layers(&specs).init(Init::KaimingUniform).relu_grad(relu_grad).build(seed).unwrap();
    let x: Vec<f32> = (0..M * IN).map(|i| ((i * 37 + 11) % 101) as f32 / 101.0 - 0.3).collect();
    let x64: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let wide = |values: Vec<f32>| values.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
    let mut parameters: Vec<Vec<f64>> = model.parameters().map(|tensor| wide(tensor.values())).collect();
    let (_, inputs) = loss(&model, &parameters, &x64, None);
    let frozen = (relu_grad == ReluGrad::StraightThrough).then_some(&inputs[..]);

    for level in SimdLevel::all() {
        let context = Context::train(0).with_simd(level);
        let (mut workspace, mut criterion) = (Workspace::new(), Criterion::new(CrossEntropy::new(), CLASSES));
        let logits = model.forward(&x, &context, &mut workspace);
        criterion.forward(level, logits, Targets::Classes(&LABELS), None);
        model.zero_grad();
        model.backward(&x, criterion.backward(), &context, &mut workspace);
        let gradients: Vec<Vec<f32>> = model.parameters().map(|tensor| tensor.gradient().unwrap()).collect();

        let mut largest: f64 = 0.0;
        for tensor in 0..parameters.len() {
            for i in 0..parameters[tensor].len() {
                // Central differences are off by h^2/6 of the third derivative (below 1 here) and by the loss's
                // f64 rounding over h; f32 sums of at most 64 terms below 1 by 64 half ulps.
                const H: f64 = 1e-5;
                let bound = H * H + 4.0 * f64::EPSILON / H + 64.0 * f64::from(f32::EPSILON) / 2.0;
                let start = parameters[tensor][i];
                parameters[tensor][i] = start + H;
                let above = loss(&model, &parameters, &x64, frozen).0;
                parameters[tensor][i] = start - H;
                let below = loss(&model, &parameters, &x64, frozen).0;
                parameters[tensor][i] = start;
                let expected = (above - below) / (2.0 * H);
                let found = f64::from(gradients[tensor][i]);
                assert!(
                    (found - expected).abs() <= bound,
                    "{layers}, {relu_grad}, tensor {tensor}, {i}: {found}, not {expected}"
                );
                largest = largest.max(expected.abs());
            }
        }
        assert!(largest > 0.05, "a gradient of nothing proves nothing");
    }
}

#[test]
fn one_linear_layer() {
    check("linear:4", ReluGrad::Exact, 1);
}

#[test]
fn rectified_logits() {
    check("linear:4,relu", ReluGrad::Exact, 2);
    check("linear:4,relu", ReluGrad::StraightThrough, 2);
}

#[test]
fn hidden_layers() {
    check("linear:7,relu,linear:4", ReluGrad::Exact, 3);
    check("linear:20,relu,linear:18,relu,linear:4", ReluGrad::Exact, 4);
    check("linear:20,relu,linear:18,relu,linear:4", ReluGrad::StraightThrough, 4);
}

/// As in PyTorch, a second backward adds to the first, and zero_grad forgets both.
#[test]
fn gradients_add_up_until_they_are_zeroed() {
    let mut model = Sequential::new(3).linear(2).build(0).unwrap();
    let (x, context, mut workspace) = ([1.0, 2.0, 4.0], Context::train(0), Workspace::new());
    let gradient = |model: &Sequential| model.parameter("0.weight").unwrap().gradient();
    assert_eq!(gradient(&model), None);
    for expected in [[1.0, 2.0, 4.0, 0.5, 1.0, 2.0], [2.0, 4.0, 8.0, 1.0, 2.0, 4.0]] {
        model.forward(&x, &context, &mut workspace);
        model.backward(&x, &[1.0, 0.5], &context, &mut workspace);
        assert_eq!(gradient(&model).unwrap(), expected);
    }
    model.zero_grad();
    assert_eq!(gradient(&model), None);
    model.backward(&x, &[1.0, 0.5], &context, &mut workspace);
    assert_eq!(gradient(&model).unwrap(), [1.0, 2.0, 4.0, 0.5, 1.0, 2.0]);
}
