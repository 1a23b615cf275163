//! flatnet against PyTorch: the values of `tests/golden`, which `make_golden.py` computes in float64.

use std::path::{Path, PathBuf};

use flatnet::data::{Batch, Loader, Shuffle, Split, Targets, load_split};
use flatnet::kernels::SimdLevel;
use flatnet::loss::{
    AbsoluteError, BinaryCrossEntropy, Criterion, CrossEntropy, Huber, LOSSES, Loss, SmoothL1, SquaredError,
};
use flatnet::nn::{Context, ReluGrad, Sequential, Workspace};
use flatnet::optim::{Optimizer, OptimizerState, Sgd};
use safetensors::{Dtype, SafeTensors};

/// Half an ulp of 1: the relative error of one f32 rounding.
const UNIT: f64 = f32::EPSILON as f64 / 2.0;

/// A sum of `terms` products strays by no more than this many units of the sum of their magnitudes, but for one case in
/// thousands: rounding errors add up as a random walk (Higham and Mary, "A new approach to probabilistic rounding error
/// analysis", 2019, with lambda = 4).
fn units(terms: usize) -> f64 {
    4.0 * (terms as f64).sqrt() * UNIT
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

struct Golden(Vec<u8>);

impl Golden {
    fn read(case: &str) -> Self {
        Golden(std::fs::read(root("tests/golden").join(case).with_extension("safetensors")).unwrap())
    }

    fn tensor(&self, name: &str) -> Vec<f64> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        match tensor.dtype() {
            Dtype::F32 => {
                tensor.data().chunks(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
            }
            Dtype::F64 => tensor.data().chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
            Dtype::U8 => tensor.data().iter().map(|b| f64::from(*b)).collect(),
            other => panic!("{name}: {other:?}"),
        }
    }

    fn f32s(&self, name: &str) -> Vec<f32> {
        self.tensor(name).iter().map(|value| *value as f32).collect()
    }
}

fn assert_close(what: &str, found: &[f32], expected: &[f64], bound: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        // Stored F32 values carry a rounding of their own. A NaN anywhere is not <= and fails.
        assert!(
            error <= bound + UNIT * expected.abs(),
            "{what} at {i}: {found}, not {expected}: {error:e} > {bound:e}"
        );
    }
}

fn max_abs(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, |max, value| max.max(value.abs()))
}

/// Runs ten steps of a golden case and compares each quantity it has.
fn ten_steps(case: &str, layers: &str, grad: ReluGrad, lr: f32) {
    let golden = Golden::read(case);
    let data = load_split(&root("data/mnist"), Split::Train).unwrap();
    let data = data.select(&(0..320).collect::<Vec<u32>>());
    let loader = Loader::new(&data, 32, Shuffle::Never, 0).unwrap();

    for level in SimdLevel::all() {
        let specs = layers.parse().unwrap();
        let mut model = Sequential::new(784).layers(&specs).relu_grad(grad).build(0).unwrap();
        let names: Vec<String> = model.parameters().map(|tensor| tensor.name().into()).collect();
        for name in &names {
            model.set_parameter(name, &golden.f32s(name)).unwrap();
        }
        let context = Context::train(0).with_simd(level);
        let mut criterion = Criterion::new(CrossEntropy::new(), 10);
        let optimizer = Sgd::new(lr);
        let mut state = OptimizerState::of(&optimizer, &model);
        let (mut workspace, mut batch) = (Workspace::new(), Batch::new());

        // Each logit sums at most 784 products; a row of x has at most `x_sum` and no weight is above `w_max`.
        let w_max = max_abs(golden.tensor("0.weight"));
        let losses = golden.tensor("losses");
        // How far a weight, and through the weights a logit, may have strayed by the updates so far.
        let (mut weight_error, mut drift) = (0.0, 0.0);
        for (step, expected_loss) in losses.iter().enumerate() {
            loader.load(step, level, &mut batch);
            let x = batch.x();
            let x_sum = max_abs(x.chunks(784).map(|row| row.iter().map(|x| f64::from(*x)).sum::<f64>()));
            let linears = specs.linears().count() as f64;
            let logit_error = linears * units(784) * x_sum * w_max + drift;
            let logits = model.forward(&batch, &context, &mut workspace).to_vec();
            let loss = criterion.forward(level, &logits, batch.targets(), None);
            // The loss moves by at most twice the largest error of a logit, and is rounded some more by exp and ln.
            assert_close("loss", &[loss], &[*expected_loss], 2.0 * logit_error + 16.0 * UNIT);
            model.zero_grad();
            let dz = criterion.backward().to_vec();
            model.backward(&batch, &dz, &context, &mut workspace);
            // p moves by at most p (1 - p) <= 1/4 of the difference of two logits' errors.
            let p_error = 0.5 * logit_error + 16.0 * UNIT;
            // A gradient is a mean over the batch of |x| <= 1 times at most p's error, summed over 32 samples.
            let grad_error = p_error + units(32);
            if step == 0 {
                assert_close("logits", &logits, &golden.tensor("step0.logits"), logit_error);
                assert_close(
                    "probabilities",
                    criterion.probabilities(),
                    &golden.tensor("step0.probabilities"),
                    p_error,
                );
                let ce = golden.tensor("step0.cross_entropy");
                assert_close("cross entropy", criterion.losses(), &ce, 2.0 * logit_error + 16.0 * UNIT);
                for tensor in model.parameters() {
                    let name = format!("step0.grad.{}", tensor.name());
                    assert_close(&name, &tensor.gradient().unwrap(), &golden.tensor(&name), grad_error);
                }
            }
            optimizer.step(&mut model, &mut state, &context);
            // A weight's error grows by the mean over the batch of |x| times p's error, and by one rounding; the next
            // logits meet it through a whole row of x.
            let x_mean: Vec<f64> =
                (0..784).map(|i| x.iter().skip(i).step_by(784).map(|x| f64::from(*x)).sum::<f64>() / 32.0).collect();
            let x_dot = max_abs(
                x.chunks(784).map(|row| row.iter().zip(&x_mean).map(|(x, mean)| f64::from(*x) * mean).sum::<f64>()),
            );
            drift += f64::from(lr) * grad_error * x_dot + UNIT * w_max * x_sum;
            weight_error += f64::from(lr) * grad_error + UNIT * w_max;
        }
        for tensor in model.parameters() {
            let name = format!("final.{}", tensor.name());
            assert_close(&name, &tensor.values(), &golden.tensor(&name), weight_error);
        }
    }
}

#[test]
fn the_recipe_moves_as_in_pytorch() {
    ten_steps("linear10_relu_straight_through", "linear:10,relu", ReluGrad::StraightThrough, 0.01);
}

#[test]
fn the_exact_relu_moves_as_in_pytorch() {
    ten_steps("linear10_relu_exact", "linear:10,relu", ReluGrad::Exact, 0.01);
}

#[test]
fn a_hidden_layer_moves_as_in_pytorch() {
    ten_steps("linear16_relu_linear10_exact", "linear:16,relu,linear:10", ReluGrad::Exact, 0.1);
}

/// The two backwards part ways at once on the same start, so a test that passed for both by accident would show here.
#[test]
fn the_two_relu_backwards_are_told_apart() {
    let (straight, exact) = (Golden::read("linear10_relu_straight_through"), Golden::read("linear10_relu_exact"));
    assert_eq!(straight.tensor("0.weight"), exact.tensor("0.weight"));
    let (a, b) = (straight.tensor("step0.grad.0.weight"), exact.tensor("step0.grad.0.weight"));
    assert!(max_abs(a.iter().zip(&b).map(|(a, b)| a - b)) > 1e-3);
}

#[test]
fn extreme_logits_have_pytorchs_probabilities_and_losses() {
    let golden = Golden::read("softmax_extremes");
    let (logits, labels) = (golden.f32s("logits"), golden.tensor("labels"));
    let labels: Vec<u32> = labels.iter().map(|label| *label as u32).collect();
    for level in SimdLevel::all() {
        let mut criterion = Criterion::new(CrossEntropy::new(), 10);
        criterion.forward(level, &logits, Targets::Classes(&labels), None);
        let (p, ce) = (golden.tensor("probabilities"), golden.tensor("cross_entropy"));
        for row in 0..8 {
            // Where logits are large, their own rounding is: half a unit of the largest logit in the exponent.
            let largest = max_abs(logits[row * 10..][..10].iter().map(|z| f64::from(*z)));
            let bound = 2.0 * UNIT * largest + 16.0 * UNIT;
            assert_close("probabilities", &criterion.probabilities()[row * 10..][..10], &p[row * 10..][..10], bound);
            assert_close("cross entropy", &criterion.losses()[row..=row], &ce[row..=row], bound);
        }
    }
}

/// Every loss with each kind of weights: a sample's own, the mean, and the mean's gradient.
#[test]
fn losses_and_their_gradients_are_pytorchs() {
    let golden = Golden::read("losses");
    let labels: Vec<u32> = golden.tensor("labels").iter().map(|label| *label as u32).collect();
    let (targets, shares) = (golden.f32s("targets"), golden.f32s("shares"));
    let class_weights = || golden.f32s("class_weights");
    let classes = Targets::Classes(&labels);
    let cases: [(&str, Box<dyn Loss>, &str, Targets<'_>); 11] = [
        ("cross_entropy", Box::new(CrossEntropy::new()), "logits", classes),
        ("cross_entropy.smoothing", Box::new(CrossEntropy::new().label_smoothing(0.1)), "logits", classes),
        (
            "cross_entropy.class_weights",
            Box::new(CrossEntropy::new().class_weights(class_weights())),
            "logits",
            classes,
        ),
        (
            "cross_entropy.smoothing.class_weights",
            Box::new(CrossEntropy::new().label_smoothing(0.1).class_weights(class_weights())),
            "logits",
            classes,
        ),
        ("binary_cross_entropy", Box::new(BinaryCrossEntropy), "values", Targets::Values(&shares)),
        ("squared_error", Box::new(SquaredError), "values", Targets::Values(&targets)),
        ("absolute_error", Box::new(AbsoluteError), "values", Targets::Values(&targets)),
        ("huber.1.0", Box::new(Huber::new(1.0)), "values", Targets::Values(&targets)),
        ("huber.0.3", Box::new(Huber::new(0.3)), "values", Targets::Values(&targets)),
        ("smooth_l1.1.0", Box::new(SmoothL1::new(1.0)), "values", Targets::Values(&targets)),
        ("smooth_l1.0.3", Box::new(SmoothL1::new(0.3)), "values", Targets::Values(&targets)),
    ];
    for (form, _) in LOSSES {
        let name = form.split('[').next().unwrap();
        assert!(cases.iter().any(|(_, loss, ..)| loss.spec().split(':').next() == Some(name)), "{name} is in no case");
    }
    let sample_weights = golden.f32s("sample_weights");
    for (name, loss, output, targets) in cases {
        let output = golden.f32s(output);
        let mut criterion = Criterion::new(loss, output.len() / labels.len());
        for level in SimdLevel::all() {
            for (kind, weights) in [("", None), (".sample_weights", Some(&*sample_weights))] {
                let name = format!("{name}{kind}");
                let mean = criterion.forward(level, &output, targets, weights);
                let expected = golden.tensor(&format!("{name}.mean"));
                // exp, ln and quotients to 2 units, and as many sums as there are outputs; the largest loss is 200.
                assert_close(&format!("{name} mean"), &[mean], &expected, 16.0 * UNIT * (expected[0] + 1.0));
                if weights.is_none() {
                    let losses = golden.tensor(&format!("{name}.losses"));
                    assert_close(
                        &format!("{name} losses"),
                        criterion.losses(),
                        &losses,
                        16.0 * UNIT * max_abs(losses.iter().copied()),
                    );
                }
                let grad = golden.tensor(&format!("{name}.grad"));
                // A difference of logits is rounded to a unit of 200, which stands in an exponent.
                assert_close(
                    &format!("{name} grad"),
                    criterion.backward(),
                    &grad,
                    200.0 * UNIT * max_abs(grad.iter().copied()),
                );
            }
        }
    }
}
