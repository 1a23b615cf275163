//! Gradients against central differences. The differences are taken in f64 on the plain loops of
//! `kernels::reference`; what is judged is flatnet's own backward pass.

use flatnet::kernels::{SimdLevel, reference};
use flatnet::nn::{Activations, Init, Layer, ReluGrad, Sequential, SoftmaxCrossEntropy};

const M: usize = 5;
const CLASSES: usize = 4;
const LABELS: [u8; M] = [0, 3, 1, 2, 3];

/// The mean loss of a network in f64, as a function of its parameters.
///
/// With the straight-through backward the gradient is not the derivative of the loss but of one in which each rectifier
/// is replaced by `relu(z0) + (z - z0)`, `z0` being its input before the parameters were moved; `frozen` holds those.
fn loss(model: &Sequential, parameters: &[Vec<f64>], x: &[f64], frozen: Option<&[Vec<f64>]>) -> (f64, Vec<Vec<f64>>) {
    let mut inputs = vec![];
    let mut current = x.to_vec();
    let mut parameters = parameters.iter();
    for layer in model.layers() {
        inputs.push(current.clone());
        match layer {
            Layer::Linear(linear) => {
                let mut z = vec![0.0; M * linear.out_features()];
                reference::linear_forward(&current, parameters.next().unwrap(), parameters.next().unwrap(), &mut z);
                current = z;
            }
            Layer::Relu(_) => {
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
        .flat_map(|label| (0..CLASSES).map(move |class| f64::from(u8::from(class == usize::from(*label)))))
        .collect();
    let (mut p, mut ce) = (vec![0.0; M * CLASSES], vec![0.0; M]);
    (reference::softmax_cross_entropy_forward(&current, &targets, CLASSES, &mut p, &mut ce), inputs)
}

fn check(layers: &str, relu_grad: ReluGrad, seed: u64) {
    const IN: usize = 19;
    let mut model = Sequential::new(IN, &layers.parse().unwrap(), Init::KaimingUniform, relu_grad, seed).unwrap();
    let x: Vec<f32> = (0..M * IN).map(|i| ((i * 37 + 11) % 101) as f32 / 101.0 - 0.3).collect();
    let x64: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let mut parameters: Vec<Vec<f64>> = (model.linears())
        .flat_map(|linear| [linear.weight(), linear.bias().to_vec()])
        .map(|values| values.iter().map(|value| f64::from(*value)).collect())
        .collect();
    let (_, inputs) = loss(&model, &parameters, &x64, None);
    let frozen = (relu_grad == ReluGrad::StraightThrough).then_some(&inputs[..]);

    for level in SimdLevel::all() {
        model.set_level(level);
        let (mut activations, mut criterion) = (Activations::default(), SoftmaxCrossEntropy::new(CLASSES));
        let logits = model.forward(&x, &mut activations);
        criterion.forward(logits, &LABELS);
        model.zero_grad();
        model.backward(&x, criterion.backward(), &mut activations);
        let gradients: Vec<Vec<f32>> = (model.linears())
            .flat_map(|linear| [linear.weight_grad().unwrap(), linear.bias_grad().unwrap().to_vec()])
            .collect();

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
    let mut model = Sequential::new(3, &"linear:2".parse().unwrap(), Init::KaimingUniform, ReluGrad::Exact, 0).unwrap();
    let (x, mut activations) = ([1.0, 2.0, 4.0], Activations::default());
    let gradient = |model: &Sequential| model.linears().next().unwrap().weight_grad();
    assert_eq!(gradient(&model), None);
    for expected in [[1.0, 2.0, 4.0, 0.5, 1.0, 2.0], [2.0, 4.0, 8.0, 1.0, 2.0, 4.0]] {
        model.forward(&x, &mut activations);
        model.backward(&x, &[1.0, 0.5], &mut activations);
        assert_eq!(gradient(&model).unwrap(), expected);
    }
    model.zero_grad();
    assert_eq!(gradient(&model), None);
    model.backward(&x, &[1.0, 0.5], &mut activations);
    assert_eq!(gradient(&model).unwrap(), [1.0, 2.0, 4.0, 0.5, 1.0, 2.0]);
}
