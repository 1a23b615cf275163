//! One test for all: whatever stands in [`ACTIVATIONS`] is held to its oracle, and the oracle to PyTorch.

use super::*;
use crate::kernels::testing::{levels, random, sweep, ulps};

/// Around the 16 lanes and several of them at once.
const LENGTHS: [usize; 11] = [0, 1, 7, 15, 16, 17, 31, 32, 33, 100, 1000];

/// All of the list, `relu` with both backwards, and parameters other than the default.
fn all() -> Vec<Arc<dyn Activation>> {
    let mut all: Vec<_> = ACTIVATIONS.iter().map(|(name, _)| parse(name, ReluGrad::Exact).unwrap()).collect();
    all.push(parse("relu", ReluGrad::StraightThrough).unwrap());
    all.extend(["leaky-relu:-0.3", "leaky-relu:0"].map(|text| parse(text, ReluGrad::Exact).unwrap()));
    all
}

fn forward(activation: &dyn Activation, level: SimdLevel, z: &[f32]) -> Vec<f32> {
    let mut y = vec![f32::NAN; z.len()];
    activation.forward(level, z, &mut y);
    y
}

fn backward(activation: &dyn Activation, level: SimdLevel, z: &[f32], dy: &[f32]) -> Vec<f32> {
    let (y, mut dz) = (forward(activation, level, z), vec![f32::NAN; z.len()]);
    activation.backward(level, z, &y, dy, &mut dz);
    dz
}

/// Which of its many bit patterns a NaN has is not laid down.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| if value.is_nan() { u32::MAX } else { value.to_bits() }).collect()
}

/// Densely where the functions bend, and bit patterns of all exponents.
fn inputs() -> Vec<f32> {
    let dense = (-200_000..=200_000).map(|i| i as f32 / 10_000.0);
    dense.chain(sweep().into_iter().step_by(16)).collect()
}

#[test]
fn values_and_derivatives_are_within_their_bounds_of_the_oracle() {
    let z: Vec<f32> = inputs().into_iter().filter(|z| z.is_finite()).collect();
    let ones = vec![1.0; z.len()];
    for activation in all() {
        let check = |what: &str, found: &[f32], oracle: &dyn Fn(f64) -> f64, bound: ErrorBound| {
            let (name, mut worst) = (activation.spec(), 0.0);
            for (z, found) in z.iter().zip(found) {
                let expected = oracle(f64::from(*z));
                let error = ulps(*found, expected, bound.absolute);
                assert!(error <= bound.ulps, "{name}: {what} at {z:e}: {found:e}, expected {expected:e}: {error} ULP");
                worst = f64::max(worst, error);
            }
            println!("{name}: {what}: at most {worst:.2} ULP beyond {:.1e}", bound.absolute);
        };
        let level = SimdLevel::detect();
        check("value", &forward(&*activation, level, &z), &|z| activation.reference(z), activation.error());
        let derivative = backward(&*activation, level, &z, &ones);
        check("derivative", &derivative, &|z| activation.reference_derivative(z), activation.derivative_error());
    }
}

/// `formula` at `z`, in f64.
fn value(formula: &Formula, z: f64) -> f64 {
    let at = |formula: &Formula| value(formula, z);
    match formula {
        Formula::Z => z,
        Formula::Constant(number) => *number,
        Formula::Sum(a, b) => at(a) + at(b),
        Formula::Product(a, b) => at(a) * at(b),
        Formula::Larger(a, b) => at(a).max(at(b)),
        Formula::Smaller(a, b) => at(a).min(at(b)),
        Formula::Magnitude(a) => at(a).abs(),
        Formula::Exp(a) => at(a).exp(),
        Formula::LnOnePlus(a) => at(a).ln_1p(),
        Formula::Tanh(a) => at(a).tanh(),
        Formula::Sigmoid(a) => 1.0 / (1.0 + (-at(a)).exp()),
        Formula::Erf(a) => 1.0 - crate::kernels::erf::erfc(at(a)),
    }
}

#[test]
fn a_formula_is_the_oracle_in_other_words() {
    for activation in all() {
        for i in -4000..=4000 {
            let z = f64::from(i) / 100.0;
            let (found, expected) = (value(&activation.formula(), z), activation.reference(z));
            // 1 + erf has some roundings of 1, times |z|.
            let bound = 4e-16 * (1.0 + z.abs()) + 1e-14 * expected.abs();
            assert!((found - expected).abs() <= bound, "{} at {z}: {found}, expected {expected}", activation.spec());
        }
    }
}

#[test]
fn an_elements_bits_depend_on_nothing_but_the_element() {
    let z = inputs();
    let dy = random(z.len(), 3);
    for activation in all() {
        let name = activation.spec();
        let first = SimdLevel::detect();
        let (y, dz) = (forward(&*activation, first, &z), backward(&*activation, first, &z, &dy));
        for level in levels() {
            let on = level.name();
            assert!(bits(&forward(&*activation, level, &z)) == bits(&y), "{name} on {on}");
            assert!(bits(&backward(&*activation, level, &z, &dy)) == bits(&dz), "{name} backward on {on}");
            for (start, len) in LENGTHS.into_iter().flat_map(|len| [(0, len), (5, len), (300_003, len)]) {
                let own = start..start + len;
                let found = forward(&*activation, level, &z[own.clone()]);
                assert_eq!(bits(&found), bits(&y[own.clone()]), "{name} on {on}: {len} from {start}");
                let found = backward(&*activation, level, &z[own.clone()], &dy[own.clone()]);
                assert_eq!(bits(&found), bits(&dz[own]), "{name} backward on {on}: {len} from {start}");
            }
        }
        // The product by dy is rounded once: in f64 that of two f32 is exact.
        let derivative = backward(&*activation, first, &z, &vec![1.0; z.len()]);
        for ((dz, dy), derivative) in dz.iter().zip(&dy).zip(&derivative) {
            let expected = (f64::from(*dy) * f64::from(*derivative)) as f32;
            assert!(dz == &expected || dz.is_nan() && expected.is_nan(), "{name}: {dy} times {derivative}: {dz}");
        }
    }
}

#[test]
fn a_derivative_is_the_slope_of_its_function() {
    for activation in all() {
        for i in -400..=400 {
            // No kink is closer than h.
            let (z, h) = (f64::from(i) / 50.0 + 0.003, 1e-5);
            let slope = (activation.reference(z + h) - activation.reference(z - h)) / (2.0 * h);
            let derivative = activation.reference_derivative(z);
            if format!("{activation:?}").contains("StraightThrough") {
                assert_eq!(derivative, 1.0, "what straight-through passes on instead");
            } else {
                // h^2/6 of the third derivative, which is below 3, and 8e-16 of rounding over 2h.
                assert!((slope - derivative).abs() < 2e-10, "{} at {z}: {slope}, {derivative}", activation.spec());
            }
        }
    }
}

#[test]
fn no_nan_is_hidden_and_infinities_go_where_they_should() {
    for activation in all() {
        let name = activation.spec();
        for level in levels() {
            let z = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN, 1.0].repeat(7);
            for y in forward(&*activation, level, &z).chunks(5) {
                assert!(y[0].is_nan() && y[3].is_nan() && y[4].is_finite(), "{name}: {y:?}");
                for (z, y) in [(f64::INFINITY, y[1]), (f64::NEG_INFINITY, y[2])] {
                    let expected = activation.reference(z) as f32;
                    assert_eq!(bits(&[y]), bits(&[expected]), "{name} at {z}");
                }
            }
        }
    }
    let at = |text: &str| parse(text, ReluGrad::Exact).unwrap().reference(f64::NEG_INFINITY);
    assert_eq!((at("relu"), at("tanh"), at("sigmoid")), (0.0, -1.0, 0.0));
    assert!(at("silu").is_nan() && at("gelu").is_nan() && at("gelu-tanh").is_nan());
}

#[test]
fn at_a_kink_the_derivative_is_pytorchs() {
    let at_0 = |text, grad| {
        let activation = parse(text, grad).unwrap();
        let dz = backward(&*activation, SimdLevel::detect(), &[0.0, -0.0], &[3.0, 3.0]);
        assert_eq!(f64::from(dz[0] / 3.0) as f32, activation.reference_derivative(0.0) as f32);
        [dz[0], dz[1]]
    };
    assert_eq!(at_0("relu", ReluGrad::Exact), [0.0, 0.0]);
    assert_eq!(at_0("relu", ReluGrad::StraightThrough), [3.0, 3.0]);
    assert_eq!(at_0("leaky-relu:0.5", ReluGrad::Exact), [1.5, 1.5]);
}

#[test]
fn what_is_written_is_read_back() {
    for activation in all() {
        let again = parse(&activation.spec(), ReluGrad::Exact).unwrap();
        assert_eq!(again.spec(), activation.spec());
    }
    assert_eq!(parse("leaky-relu", ReluGrad::Exact).unwrap().spec(), "leaky-relu:0.01");
    assert_eq!(parse("leaky-relu:0.20", ReluGrad::Exact).unwrap().spec(), "leaky-relu:0.2");
}

#[test]
fn slips_are_refused_with_what_is_expected() {
    let names = &*format!("expected {}", known());
    assert!(names.starts_with("expected relu, leaky-relu, ") && names.contains(" or "), "{names}");
    for (text, expected) in [
        ("swish", names),
        ("", names),
        ("relu:6", "expected relu without a colon"),
        ("tanh:", "expected tanh without a colon"),
        ("leaky-relu:", "expected a finite number after leaky-relu:"),
        ("leaky-relu:x", "expected a finite number after leaky-relu:"),
        ("leaky-relu:nan", "expected a finite number after leaky-relu:"),
        ("leaky-relu:1e39", "expected a finite number after leaky-relu:"),
    ] {
        let message = parse(text, ReluGrad::Exact).unwrap_err().to_string();
        assert!(message.starts_with(&format!("layers: '{text}' ")) && message.contains(expected), "{message}");
    }
}

/// `tests/golden/make_activations.py` says how the file was made.
#[test]
fn the_oracle_is_what_pytorch_computes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/activations.safetensors");
    let data = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&data).unwrap();
    let read = |name: &str| -> Vec<f64> {
        let tensor = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(tensor.dtype(), safetensors::Dtype::F64);
        tensor.data().as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
    };
    let z = read("z");
    assert!(z.len() > 100 && z.contains(&0.0));
    for (name, _) in ACTIVATIONS {
        let activation = parse(name, ReluGrad::Exact).unwrap();
        let (values, derivatives) = (read(&format!("{name}.value")), read(&format!("{name}.derivative")));
        for ((z, value), derivative) in z.iter().zip(values).zip(derivatives) {
            // PyTorch takes 1 + erf and 1 + tanh, which cost it up to |z| half units in the last place of 1.
            let bound = 1e-15 * (1.0 + z.abs()) + 1e-13 * value.abs();
            let found = activation.reference(*z);
            assert!((found - value).abs() <= bound, "{name}({z}) = {found}, in PyTorch {value}");
            let found = activation.reference_derivative(*z);
            assert!((found - derivative).abs() <= bound + 1e-13, "{name}'({z}) = {found}, in PyTorch {derivative}");
        }
    }
}
